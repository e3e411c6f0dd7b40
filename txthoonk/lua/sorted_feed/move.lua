-- Give an item of a sorted feed another place.
--
-- KEYS[1] config     hash  options of the feed
-- KEYS[2] ids        list  ids in order
-- KEYS[3] items      hash  id -> item
-- KEYS[4] revision   hash  epoch, revision and digest of the feed
-- KEYS[5] revisions  any   hash: id -> revision; anything else there is replaced
-- KEYS[6] history    any   stream of events; anything else there is replaced
-- ARGV[1] event_channel     channel  changes
-- ARGV[2] under_channel     channel  changes, for those who follow patterns
-- ARGV[3] position_channel  channel  places of items
-- ARGV[4] id                text     of the item
-- ARGV[5] where             text     "begin", "end", "BEFORE" or "AFTER"
-- ARGV[6] pivot             text     id of the other item, empty for begin and end
-- ARGV[7] if_revision       integer  of the feed or the item, else nothing is done; may be missing
-- Returns: integer  the revision
-- Errors: FEEDNOTFOUND, ITEMNOTFOUND, CONFLICT
-- Publishes: event_channel change; under_channel event_channel NUL change; position_channel id NUL begin: | :end | :pivot | pivot:
local config, ids, items, revision, revisions, history = unpack(KEYS)
local event_channel, under_channel, position_channel, id, where, pivot, if_revision = unpack(ARGV)
local call = redis.call

local options = call('HMGET', config, 'type', 'max_length', 'history')
if not options[1] then
  return redis.error_reply('FEEDNOTFOUND')
end
if call('HEXISTS', items, id) == 0 or not call('LPOS', ids, id) then
  return redis.error_reply('ITEMNOTFOUND')
end
if pivot ~= '' and not call('LPOS', ids, pivot) then
  return redis.error_reply('ITEMNOTFOUND beside ' .. pivot)
end
local time = call('TIME')
-- include kept
-- include change
-- include conflict
local refused = if_revision and conflict(if_revision, id)
if refused then
  return refused
end
call('LREM', ids, 1, id)
local position
if where == 'begin' then
  call('LPUSH', ids, id)
  position = 'begin:'
elseif where == 'end' then
  call('RPUSH', ids, id)
  position = ':end'
else
  call('LINSERT', ids, where, pivot, id)
  position = where == 'BEFORE' and ':' .. pivot or pivot .. ':'
end
change('position', position, id, 0)
keep(id)
call('PUBLISH', position_channel, id .. '\0' .. position)
return number + 0
