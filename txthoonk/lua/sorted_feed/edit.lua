-- Replace an item of a sorted feed; its place stays.
--
-- An edit travels on the channel of publishes: contract, thoonk.py.
--
-- KEYS[1] config     hash    options of the feed
-- KEYS[2] ids        list    ids in order
-- KEYS[3] items      hash    id -> item
-- KEYS[4] publishes  string  counter of publishes and edits
-- KEYS[5] revision   hash    epoch, revision and digest of the feed
-- KEYS[6] revisions  any     hash: id -> revision; anything else there is replaced
-- KEYS[7] history    any     stream of events; anything else there is replaced
-- ARGV[1] event_channel    channel  changes
-- ARGV[2] under_channel    channel  changes, for those who follow patterns
-- ARGV[3] publish_channel  channel  new and edited items
-- ARGV[4] id               text     of the item
-- ARGV[5] item             bytes
-- ARGV[6] if_revision      integer  of the feed or the item, else nothing is done; may be missing
-- Returns: integer  the revision
-- Errors: FEEDNOTFOUND, ITEMNOTFOUND, CONFLICT
-- Publishes: event_channel change; under_channel event_channel NUL change; publish_channel id NUL item
local config, ids, items, publishes, revision, revisions, history = unpack(KEYS)
local event_channel, under_channel, publish_channel, id, item, if_revision = unpack(ARGV)
local call = redis.call

local options = call('HMGET', config, 'type', 'max_length', 'history')
if not options[1] then
  return redis.error_reply('FEEDNOTFOUND')
end
call('LLEN', ids)
if call('HEXISTS', items, id) == 0 then
  return redis.error_reply('ITEMNOTFOUND')
end
local time = call('TIME')
-- include kept
-- include change
-- include conflict
local refused = if_revision and conflict(if_revision, id)
if refused then
  return refused
end
local count = call('INCR', publishes)
call('HSET', items, id, item)
local rest = id .. '\0' .. item
change('edit', '', rest, count)
keep(id)
call('PUBLISH', publish_channel, rest)
return number + 0
