-- Retract the items whose time is over, unless they were published anew since.
--
-- What is noted of the feed in the index of all feeds is put right, where it is not: the feed may
-- have been deleted, and created again, since. Notes of a feed that does not exist go, and so do
-- those of one that has become a feed of another type.
--
-- KEYS[1] config     hash  options of the feed
-- KEYS[2] ids        zset  ids by time
-- KEYS[3] items      hash  id -> item
-- KEYS[4] revision   hash  epoch, revision and digest of the feed
-- KEYS[5] revisions  any   hash: id -> revision; anything else there is replaced
-- KEYS[6] history    any   stream of events; anything else there is replaced
-- KEYS[7] expires    zset  score in ids, NUL, id by when the time of the item is over, milliseconds
-- KEYS[8] expiring   zset  feeds by when the first of their items is over, milliseconds
-- ARGV[1] event_channel    channel  changes
-- ARGV[2] under_channel    channel  changes, for those who follow patterns
-- ARGV[3] retract_channel  channel  retracted items
-- ARGV[4] feed             text     name of the feed
-- ARGV[5] most             integer  how many notes are looked at
-- Returns: list  how many items were retracted; milliseconds until the next one is over, 0 if there are more now, -1 if there is none
-- Errors: none
-- Publishes: event_channel change; under_channel event_channel NUL change; retract_channel id
local config, ids, items, revision, revisions, history, expires, expiring = unpack(KEYS)
local event_channel, under_channel, retract_channel, feed, most = unpack(ARGV)
local call = redis.call

local options = call('HMGET', config, 'type', 'max_length', 'history')
local time = call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local due = call('ZRANGEBYSCORE', expires, '-inf', string.format('%.0f', now), 'LIMIT', 0, most)
local before = call('ZSCORE', expiring, feed)
local is_there = options[1] and call('TYPE', ids).ok ~= 'list'
if is_there then
  call('ZCARD', ids)
  call('HLEN', items)
end
-- include kept
-- include change
-- include note
local gone = 0
call('ZREM', expiring, '') -- a removal first: Redis then lets this finish at maxmemory
if not is_there then
  call('DEL', expires)
elseif #due > 0 then
  call('ZREM', expires, unpack(due))
  for _, each in ipairs(due) do
    local id = noted(each)
    if id then
      call('ZREM', ids, id)
      call('HDEL', items, id)
      change('retract', '', id, 0)
      forget(id)
      keep()
      call('PUBLISH', retract_channel, id)
      gone = gone + 1
    end
  end
end
local first = call('ZRANGE', expires, 0, 0, 'WITHSCORES')[2]
if not first then
  call('ZREM', expiring, feed)
  return {gone, -1}
end
if first ~= before then
  call('ZADD', expiring, first, feed)
end
return {gone, math.max(first - now, 0)}
