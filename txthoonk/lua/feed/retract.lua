-- Take an item out of a feed.
--
-- KEYS[1] config     hash  options of the feed
-- KEYS[2] ids        zset  ids by time
-- KEYS[3] items      hash  id -> item
-- KEYS[4] revision   hash  epoch, revision and digest of the feed
-- KEYS[5] revisions  any   hash: id -> revision; anything else there is replaced
-- KEYS[6] history    any   stream of events; anything else there is replaced
-- ARGV[1] event_channel    channel  changes
-- ARGV[2] under_channel    channel  changes, for those who follow patterns
-- ARGV[3] retract_channel  channel  retracted items
-- ARGV[4] id               text     of the item
-- ARGV[5] if_revision      integer  of the feed or the item, else nothing is done; may be missing
-- Returns: integer  the revision, 0 if it was not there
-- Errors: FEEDNOTFOUND, CONFLICT
-- Publishes: event_channel change; under_channel event_channel NUL change; retract_channel id
local config, ids, items, revision, revisions, history = unpack(KEYS)
local event_channel, under_channel, retract_channel, id, if_revision = unpack(ARGV)
local call = redis.call

local options = call('HMGET', config, 'type', 'max_length', 'history')
if not options[1] then
  return redis.error_reply('FEEDNOTFOUND')
end
local scored = call('ZSCORE', ids, id)
local stored = call('HEXISTS', items, id) == 1
local time = call('TIME')
-- include kept
-- include change
-- include conflict
local refused = if_revision and conflict(if_revision, id)
if refused then
  return refused
end
if not scored and not stored then
  return 0
end
call('ZREM', ids, id)
call('HDEL', items, id)
change('retract', '', id, 0)
forget(id)
keep()
call('PUBLISH', retract_channel, id)
return number + 0
