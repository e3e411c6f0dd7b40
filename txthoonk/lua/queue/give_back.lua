-- Put back what was taken out of a queue for somebody who no longer waits; if it was deleted, not.
--
-- It takes no more memory than was freed an instant ago: it begins with a removal, so that Redis
-- lets it finish at maxmemory too.
--
-- KEYS[1] config  hash  options of the feed
-- KEYS[2] ids     list  ids, the next one to be taken at the right
-- KEYS[3] items   hash  id -> item
-- KEYS[4] seen    zset  ids that maintenance has seen on their way
-- ARGV[1] taken  pairs  id, item, ... in the order they were taken
-- Returns: integer  how many
-- Errors: none
-- Publishes: nothing
local config, ids, items, seen = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local taken = ARGV

if not redis.call('HGET', config, 'type') then
  return 0
end
redis.call('LLEN', ids)
redis.call('HLEN', items)
redis.call('ZREM', seen, taken[1])
for i = #taken - 1, 1, -2 do
  redis.call('HSET', items, taken[i], taken[i + 1])
  redis.call('RPUSH', ids, taken[i])
end
return #taken / 2
