-- Look for what is wrong with the schedules of a feed; repair that if asked.
--
-- A schedule that is not in ticks is paused, so nothing can be missing there. One whose definition
-- cannot be read is named, and left for whoever set it.
--
-- KEYS[1] schedules  hash  name -> rule, missed, grace, side and item, divided by NULs
-- KEYS[2] ticks      zset  schedules by when they are due next, milliseconds
-- KEYS[3] scheduled  zset  feeds by when the first of their schedules is due, milliseconds
-- ARGV[1] repair  integer  1: repair what is a fault
-- ARGV[2] mark    text     what the look before answered, or empty
-- ARGV[3] feed    text     name of the feed
-- Returns: list  empty, mark, kind, detail, 1 if it was repaired, ...
-- Errors: none
-- Publishes: nothing
local schedules, ticks, scheduled = KEYS[1], KEYS[2], KEYS[3]
local repair, mark, feed = ARGV[1], ARGV[2], ARGV[3]
local call = redis.call

local faults, first = {}, nil
local due = call('ZRANGE', ticks, 0, 9999, 'WITHSCORES')
for i = 1, #due, 2 do
  if call('HEXISTS', schedules, due[i]) == 1 then
    first = first or due[i + 1]
  else
    faults[#faults + 1] = {'leftover', 'no schedule ' .. due[i] .. ', left in ' .. ticks,
      {'ZREM', ticks, due[i]}}
  end
end
local names = call('HKEYS', schedules)
table.sort(names)
for i = 1, math.min(#names, 10000) do
  local definition = call('HGET', schedules, names[i])
  local rule, missed, grace, side = string.match(
    definition, '^([^%z]*)%z([^%z]*)%z(%d+)%z([^%z]*)%z')
  if not rule or not (string.match(rule, '^every [1-9]%d*$') or string.match(rule, '^cron %S+ %S'))
      or not (missed == 'catch-up' or missed == 'latest' or missed == 'skip')
      or not (side == 'LPUSH' or side == 'RPUSH') then
    faults[#faults + 1] = {'schedule', 'cannot be read: ' .. names[i]}
  end
end
local noted = call('ZSCORE', scheduled, feed)
if first and (not noted or tonumber(noted) > tonumber(first)) then
  -- Too early is put right by whoever looks then.
  faults[#faults + 1] = {'unscheduled', 'in ' .. scheduled .. ' it is due too late, or never',
    {'ZADD', scheduled, first, feed}}
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
  call('HDEL', schedules, '') -- a removal first: Redis then lets this finish at maxmemory
end
local reply = {}
for _, fault in ipairs(faults) do
  local repaired = fix and fault[3]
  if repaired then
    call(unpack(fault[3]))
  end
  for _, value in ipairs({'', now, fault[1], fault[2], repaired and 1 or 0}) do
    reply[#reply + 1] = value
  end
end
return reply
