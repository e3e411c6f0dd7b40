-- Set options of a feed, just those that are given.
--
-- KEYS[1] feeds   set   names of all feeds
-- KEYS[2] config  hash  options of the feed
-- ARGV[1] conffeed  channel  feeds whose options were set
-- ARGV[2] name      text     of the feed
-- ARGV[3] instance  text     who sets them
-- ARGV[4] options   pairs    option, value, ...; an empty limit is removed
-- Returns: integer  1
-- Errors: FEEDNOTFOUND, WRONGFEEDTYPE
-- Publishes: conffeed name NUL instance
local feeds, config = KEYS[1], KEYS[2]
local conffeed, name, instance = ARGV[1], ARGV[2], ARGV[3]
local options = {unpack(ARGV, 4)}

if redis.call('SISMEMBER', feeds, name) == 0 then
  return redis.error_reply('FEEDNOTFOUND')
end
local kind = redis.call('HGET', config, 'type')
-- An empty value takes these away; a title, or an entry of somebody's own, may be empty.
local removable = ' max_length history claim_timeout max_attempts backoff peer_timeout result_ttl '
local set, unset = {}, {}
for i = 1, #options, 2 do
  if options[i] == 'type' and kind and options[i + 1] ~= kind then
    return redis.error_reply('WRONGFEEDTYPE it is a ' .. kind .. ', and stays one')
  end
  if options[i + 1] == '' and string.find(removable, ' ' .. options[i] .. ' ', 1, true) then
    unset[#unset + 1] = options[i]
  else
    set[#set + 1] = options[i]
    set[#set + 1] = options[i + 1]
  end
end
if #set > 0 then
  redis.call('HSET', config, unpack(set))
end
if #unset > 0 then
  redis.call('HDEL', config, unpack(unset))
end
redis.call('PUBLISH', conffeed, name .. '\0' .. instance)
return 1
