-- Replace an item of a sorted feed; its place stays.
--
-- An edit travels on the channel of publishes: contract, thoonk.py.
--
-- KEYS[1] config     hash    options of the feed
-- KEYS[2] ids        list    ids in order
-- KEYS[3] items      hash    id -> item
-- KEYS[4] publishes  string  counter of publishes and edits
-- ARGV[1] publish_channel  channel  new and edited items
-- ARGV[2] id               text     of the item
-- ARGV[3] item             bytes
-- Returns: integer  1
-- Errors: FEEDNOTFOUND, ITEMNOTFOUND
-- Publishes: publish_channel id NUL item
local config, ids, items, publishes = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local publish_channel, id, item = ARGV[1], ARGV[2], ARGV[3]

if not redis.call('HGET', config, 'type') then
  return redis.error_reply('FEEDNOTFOUND')
end
redis.call('LLEN', ids)
if redis.call('HEXISTS', items, id) == 0 then
  return redis.error_reply('ITEMNOTFOUND')
end
redis.call('INCR', publishes)
redis.call('HSET', items, id, item)
redis.call('PUBLISH', publish_channel, id .. '\0' .. item)
return 1
