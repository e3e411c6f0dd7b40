-- Look for keys of a feed that does not exist; remove them if asked.
--
-- KEYS[1] feeds      set   names of all feeds
-- KEYS[2] every_key  keys  all keys that a feed of that name may have
-- ARGV[1] repair  integer  1: repair what is a fault
-- ARGV[2] mark    text     what the look before answered, or empty
-- ARGV[3] name    text     of the feed
-- Returns: list  empty, mark, kind, detail, 1 if it was repaired, ...
-- Errors: none
-- Publishes: nothing
local feeds, every_key = KEYS[1], {unpack(KEYS, 2)}
local repair, mark, name = ARGV[1], ARGV[2], ARGV[3]

if redis.call('SISMEMBER', feeds, name) == 1 then
  return {}
end
local left = {}
for _, key in ipairs(every_key) do
  if redis.call('EXISTS', key) == 1 then
    left[#left + 1] = key
  end
end
local now = table.concat(left, '\n')
if #left == 0 or mark ~= '' and mark ~= now then
  return {}
end
local fix = repair == '1' and mark == now
if fix then
  redis.call('UNLINK', unpack(left))
end
local reply = {}
for _, key in ipairs(left) do
  for _, value in ipairs({'', now, 'orphan', key .. ' is of no feed', fix and 1 or 0}) do
    reply[#reply + 1] = value
  end
end
return reply
