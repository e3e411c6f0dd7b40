-- Put back what was taken out of a queue for somebody who no longer waits.
--
-- It takes no more memory than was freed an instant ago: it begins with a removal, so that Redis
-- lets it finish at maxmemory too.
--
-- KEYS[1] ids    list  ids, the next one to be taken at the right
-- KEYS[2] items  hash  id -> item
-- KEYS[3] seen   zset  ids that maintenance has seen on their way
-- ARGV[1] taken  pairs  id, item, ... in the order they were taken
-- Returns: integer  how many
-- Errors: none
-- Publishes: nothing
local ids, items, seen = KEYS[1], KEYS[2], KEYS[3]
local taken = ARGV

redis.call('LLEN', ids)
redis.call('HLEN', items)
redis.call('ZREM', seen, taken[1])
for i = #taken - 1, 1, -2 do
  redis.call('HSET', items, taken[i], taken[i + 1])
  redis.call('RPUSH', ids, taken[i])
end
return #taken / 2
