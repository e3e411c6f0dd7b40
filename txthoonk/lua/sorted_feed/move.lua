-- Give an item of a sorted feed another place.
--
-- KEYS[1] config  hash  options of the feed
-- KEYS[2] ids     list  ids in order
-- KEYS[3] items   hash  id -> item
-- ARGV[1] position_channel  channel  places of items
-- ARGV[2] id                text     of the item
-- ARGV[3] where             text     "begin", "end", "BEFORE" or "AFTER"
-- ARGV[4] pivot             text     id of the other item, empty for begin and end
-- Returns: integer  1
-- Errors: FEEDNOTFOUND, ITEMNOTFOUND
-- Publishes: position_channel id NUL begin: | :end | :pivot | pivot:
local config, ids, items = KEYS[1], KEYS[2], KEYS[3]
local position_channel, id, where, pivot = ARGV[1], ARGV[2], ARGV[3], ARGV[4]

if not redis.call('HGET', config, 'type') then
  return redis.error_reply('FEEDNOTFOUND')
end
if redis.call('HEXISTS', items, id) == 0 or not redis.call('LPOS', ids, id) then
  return redis.error_reply('ITEMNOTFOUND')
end
if pivot ~= '' and not redis.call('LPOS', ids, pivot) then
  return redis.error_reply('ITEMNOTFOUND beside ' .. pivot)
end
redis.call('LREM', ids, 1, id)
local position
if where == 'begin' then
  redis.call('LPUSH', ids, id)
  position = 'begin:'
elseif where == 'end' then
  redis.call('RPUSH', ids, id)
  position = ':end'
else
  redis.call('LINSERT', ids, where, pivot, id)
  position = where == 'BEFORE' and ':' .. pivot or pivot .. ':'
end
redis.call('PUBLISH', position_channel, id .. '\0' .. position)
return 1
