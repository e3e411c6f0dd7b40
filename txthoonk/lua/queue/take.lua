-- Take items out of a queue.
--
-- An id without an item is dropped, whoever left it there.
--
-- KEYS[1] config   hash  options of the feed
-- KEYS[2] ids      list  ids, the next one to be taken at the right
-- KEYS[3] handoff  list  ids on their way to a get
-- KEYS[4] items    hash  id -> item
-- KEYS[5] seen     zset  ids that maintenance has seen on their way
-- ARGV[1] count   integer  how many at the most
-- ARGV[2] handed  text     id that a blocked get was handed, or empty
-- Returns: list  id, item, ...
-- Errors: FEEDNOTFOUND
-- Publishes: nothing
local config, ids, handoff, items, seen = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local count, handed = tonumber(ARGV[1]), ARGV[2]

if not redis.call('HGET', config, 'type') then
  return redis.error_reply('FEEDNOTFOUND')
end
redis.call('LLEN', ids)
redis.call('LLEN', handoff)
redis.call('HLEN', items)
redis.call('ZCARD', seen)
local taken = {}

local function take(id)
  local item = redis.call('HGET', items, id)
  if item then
    redis.call('HDEL', items, id)
    taken[#taken + 1] = id
    taken[#taken + 1] = item
  end
end

if handed ~= '' and redis.call('LREM', handoff, -1, handed) == 1 then
  redis.call('ZREM', seen, handed)
  take(handed)
end
while #taken < 2 * count do
  local id = redis.call('RPOP', ids)
  if not id then
    break
  end
  take(id)
end
return taken
