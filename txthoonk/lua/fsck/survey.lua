-- Say what there is of a feed: whether it is listed, its type, and the type of each of its keys.
--
-- KEYS[1] feeds      set   names of all feeds
-- KEYS[2] config     any   options of the feed
-- KEYS[3] every_key  keys  all keys of the feed
-- ARGV[1] name  text  of the feed
-- Returns: list  1 if it is listed, its type or false, Redis's type of each key
-- Errors: none
-- Publishes: nothing
local feeds, config, every_key = KEYS[1], KEYS[2], {unpack(KEYS, 3)}
local name = ARGV[1]

local stored = false
local listed = redis.call('SISMEMBER', feeds, name)
if redis.call('TYPE', config).ok == 'hash' then
  stored = redis.call('HGET', config, 'type')
end
local reply = {listed, stored}
for _, key in ipairs(every_key) do
  reply[#reply + 1] = redis.call('TYPE', key).ok
end
return reply
