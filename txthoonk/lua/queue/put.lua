-- Put an item into a queue.
--
-- KEYS[1] config     hash    options of the feed
-- KEYS[2] ids        list    ids, the next one to be taken at the right
-- KEYS[3] items      hash    id -> item
-- KEYS[4] publishes  string  counter of puts
-- ARGV[1] side  text   "LPUSH": behind the others; "RPUSH": before them
-- ARGV[2] id    text   of the item
-- ARGV[3] item  bytes
-- Returns: integer  1
-- Errors: FEEDNOTFOUND
-- Publishes: nothing
local config, ids, items, publishes = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local side, id, item = ARGV[1], ARGV[2], ARGV[3]

if not redis.call('HGET', config, 'type') then
  return redis.error_reply('FEEDNOTFOUND')
end
redis.call('LLEN', ids)
redis.call('HLEN', items)
redis.call('INCR', publishes)
redis.call('HSET', items, id, item)
redis.call(side, ids, id)
return 1
