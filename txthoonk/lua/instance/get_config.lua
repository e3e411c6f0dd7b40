-- The options of a feed.
--
-- KEYS[1] feeds   set   names of all feeds
-- KEYS[2] config  hash  options of the feed
-- ARGV[1] name  text  of the feed
-- Returns: list  option, value, ...
-- Errors: FEEDNOTFOUND
-- Publishes: nothing
local feeds, config = KEYS[1], KEYS[2]
local name = ARGV[1]

if redis.call('SISMEMBER', feeds, name) == 0 then
  return redis.error_reply('FEEDNOTFOUND')
end
return redis.call('HGETALL', config)
