-- Delete a feed: its name and every key that a feed of any type may have.
--
-- KEYS[1] feeds       set   names of all feeds
-- KEYS[2] every_key   keys  all keys of the feed
-- ARGV[1] delfeed   channel  feeds that were deleted
-- ARGV[2] name      text     of the feed
-- ARGV[3] instance  text     who deletes it
-- Returns: integer  1
-- Errors: FEEDNOTFOUND
-- Publishes: delfeed name NUL instance
local feeds, every_key = KEYS[1], {unpack(KEYS, 2)}
local delfeed, name, instance = ARGV[1], ARGV[2], ARGV[3]

if redis.call('SISMEMBER', feeds, name) == 0 then
  return redis.error_reply('FEEDNOTFOUND')
end
redis.call('SREM', feeds, name)
redis.call('UNLINK', unpack(every_key))
redis.call('PUBLISH', delfeed, name .. '\0' .. instance)
return 1
