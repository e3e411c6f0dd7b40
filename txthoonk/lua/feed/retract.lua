-- Take an item out of a feed.
--
-- KEYS[1] config  hash  options of the feed
-- KEYS[2] ids     zset  ids by time
-- KEYS[3] items   hash  id -> item
-- ARGV[1] retract_channel  channel  retracted items
-- ARGV[2] id               text     of the item
-- Returns: integer  1 if it was there, 0 if not
-- Errors: FEEDNOTFOUND
-- Publishes: retract_channel id
local config, ids, items = KEYS[1], KEYS[2], KEYS[3]
local retract_channel, id = ARGV[1], ARGV[2]

if not redis.call('HGET', config, 'type') then
  return redis.error_reply('FEEDNOTFOUND')
end
local scored = redis.call('ZSCORE', ids, id)
local stored = redis.call('HEXISTS', items, id) == 1
if not scored and not stored then
  return 0
end
redis.call('ZREM', ids, id)
redis.call('HDEL', items, id)
redis.call('PUBLISH', retract_channel, id)
return 1
