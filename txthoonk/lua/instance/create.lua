-- Create a feed: its name and its type become visible in one step.
--
-- What an earlier feed of the same name left in our own keys is cleared; peers that delete a
-- feed do not know them. The last keys are those.
--
-- KEYS[1] feeds   set   names of all feeds
-- KEYS[2] config  hash  options of the feed
-- KEYS[3] ours    keys  keys that only txThoonk knows
-- ARGV[1] newfeed   channel  feeds that were created
-- ARGV[2] conffeed  channel  feeds whose options were set
-- ARGV[3] name      text     of the feed
-- ARGV[4] instance  text     who creates it
-- ARGV[5] options   pairs    option, value, ...; one of them is type
-- Returns: integer  1
-- Errors: FEEDEXISTS
-- Publishes: newfeed name NUL instance; conffeed name NUL instance
local feeds, config, ours = KEYS[1], KEYS[2], {unpack(KEYS, 3)}
local newfeed, conffeed, name, instance = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local options = {unpack(ARGV, 5)}

if redis.call('SISMEMBER', feeds, name) == 1 then
  return redis.error_reply('FEEDEXISTS ' .. (redis.call('HGET', config, 'type') or 'without a type'))
end
redis.call('HLEN', config)
redis.call('SADD', feeds, name)
redis.call('HSET', config, unpack(options))
redis.call('DEL', unpack(ours))
redis.call('PUBLISH', newfeed, name .. '\0' .. instance)
redis.call('PUBLISH', conffeed, name .. '\0' .. instance)
return 1
