-- Publish an item before or after another one of a sorted feed.
--
-- KEYS[1] config     hash    options of the feed
-- KEYS[2] ids        list    ids in order
-- KEYS[3] items      hash    id -> item
-- KEYS[4] publishes  string  counter of publishes and edits
-- KEYS[5] idincr     string  the last id that was given
-- KEYS[6] revision   hash    epoch, revision and digest of the feed
-- KEYS[7] revisions  any     hash: id -> revision; anything else there is replaced
-- KEYS[8] history    any     stream of events; anything else there is replaced
-- ARGV[1] event_channel     channel  changes
-- ARGV[2] under_channel     channel  changes, for those who follow patterns
-- ARGV[3] publish_channel   channel  new and edited items
-- ARGV[4] position_channel  channel  places of items
-- ARGV[5] where             text     "BEFORE" or "AFTER"
-- ARGV[6] pivot             text     id of the other item
-- ARGV[7] item              bytes
-- ARGV[8] if_revision       integer  of the feed or the other item, else nothing is done; may be missing
-- Returns: list  the id, the revision
-- Errors: FEEDNOTFOUND, ITEMNOTFOUND, CONFLICT
-- Publishes: event_channel change; under_channel event_channel NUL change; publish_channel id NUL item; position_channel id NUL :pivot; position_channel id NUL pivot:
local config, ids, items, publishes, idincr, revision, revisions, history = unpack(KEYS)
local event_channel, under_channel, publish_channel, position_channel, where, pivot, item, if_revision = unpack(ARGV)
local call = redis.call

local options = call('HMGET', config, 'type', 'max_length', 'history')
if not options[1] then
  return redis.error_reply('FEEDNOTFOUND')
end
-- The id is taken only once the other item is known to be there.
local stored = call('HEXISTS', items, pivot) == 1
local placed = call('LPOS', ids, pivot)
if not stored or not placed then
  return redis.error_reply('ITEMNOTFOUND')
end
local count = call('GET', publishes) or '0'
if not string.match(count, '^%d+$') or string.format('%.0f', count) ~= count then
  return redis.error_reply('WRONGTYPE ' .. publishes .. ' is no counter')
end
local time = call('TIME')
-- include kept
-- include change
-- include conflict
local refused = if_revision and conflict(if_revision, pivot)
if refused then
  return refused
end
local id
repeat -- an id that a peer chose by itself is passed over
  id = string.format('%.0f', call('INCR', idincr))
until call('HEXISTS', items, id) == 0
call('HSET', items, id, item)
call('LINSERT', ids, where, pivot, id)
local position = where == 'BEFORE' and ':' .. pivot or pivot .. ':'
local rest = id .. '\0' .. item
change('publish', position, rest, call('INCR', publishes))
keep(id)
call('PUBLISH', publish_channel, rest)
call('PUBLISH', position_channel, id .. '\0' .. position)
return {id, number + 0}
