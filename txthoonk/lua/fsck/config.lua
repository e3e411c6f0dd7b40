-- Look at what a feed says of itself, its name, type and counters; repair that if asked.
--
-- Of all scripts of this kind: other programs do not write everything at once, so only what is
-- the same at two looks is a fault. The first look brings an empty mark and repairs nothing; the
-- second one brings the mark that the first one answered.
--
-- A counter of what was published cannot be known again: it becomes the number of items.
--
-- KEYS[1] feeds      set   names of all feeds
-- KEYS[2] config     hash  options of the feed
-- KEYS[3] items      hash  id -> item
-- KEYS[4] publishes  any   counter of publishes
-- KEYS[5] finishes   any   counter of finished jobs
-- ARGV[1] repair  integer  1: repair what is a fault
-- ARGV[2] mark    text     what the look before answered, or empty
-- ARGV[3] name    text     of the feed
-- ARGV[4] wanted  text     its type; empty if that is not known
-- Returns: list  empty, mark, kind, detail, 1 if it was repaired, ...
-- Errors: none
-- Publishes: nothing
local feeds, config, items, publishes, finishes = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local repair, mark, name, wanted = ARGV[1], ARGV[2], ARGV[3], ARGV[4]

local listed = redis.call('SISMEMBER', feeds, name) == 1
local kind = redis.call('HGET', config, 'type')
local count = redis.call('HLEN', items)
local counters = {{publishes, string.format('%.0f', count)}, {finishes, '0'}}

local faults = {}
if not kind then
  faults[#faults + 1] = {'untyped', 'its options have no type', wanted ~= '' and
    {'HSET', config, 'type', wanted}}
elseif wanted ~= '' and kind ~= wanted then
  faults[#faults + 1] = {'mistyped', 'its type is said to be ' .. kind .. ', its keys are of a '
    .. wanted, {'HSET', config, 'type', wanted}}
end
if not listed then
  faults[#faults + 1] = {'unlisted', 'its name is not in ' .. feeds, (kind or wanted ~= '') and
    {'SADD', feeds, name}}
end
for _, counter in ipairs(counters) do
  local key, instead = counter[1], counter[2]
  local value = redis.call('TYPE', key).ok == 'string' and redis.call('GET', key)
  -- One that is nearly at its end cannot be counted on either.
  if value and (not string.match(value, '^%d+$') or string.format('%.0f', value) ~= value) then
    faults[#faults + 1] = {'counter', key .. ' is no number: ' .. value, {'SET', key, instead}}
  end
end

local now = {}
for i, fault in ipairs(faults) do
  now[i] = fault[1] .. ' ' .. fault[2]
end
now = table.concat(now, '\n')
if #faults == 0 or mark ~= '' and mark ~= now then
  return {}
end
local fix = repair == '1' and mark == now
if fix then
  redis.call('HDEL', config, '') -- a removal first: Redis then lets this finish at maxmemory
end
local reply = {}
for _, fault in ipairs(faults) do
  local repaired = fix and fault[3]
  if repaired then
    redis.call(unpack(fault[3]))
  end
  for _, value in ipairs({'', now, fault[1], fault[2], repaired and 1 or 0}) do
    reply[#reply + 1] = value
  end
end
return reply
