-- Publish an item before or after another one of a sorted feed.
--
-- KEYS[1] config     hash    options of the feed
-- KEYS[2] ids        list    ids in order
-- KEYS[3] items      hash    id -> item
-- KEYS[4] publishes  string  counter of publishes and edits
-- KEYS[5] idincr     string  the last id that was given
-- ARGV[1] publish_channel   channel  new and edited items
-- ARGV[2] position_channel  channel  places of items
-- ARGV[3] where             text     "BEFORE" or "AFTER"
-- ARGV[4] pivot             text     id of the other item
-- ARGV[5] item              bytes
-- Returns: string  the id
-- Errors: FEEDNOTFOUND, ITEMNOTFOUND
-- Publishes: publish_channel id NUL item; position_channel id NUL :pivot; position_channel id NUL pivot:
local config, ids, items, publishes, idincr = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local publish_channel, position_channel = ARGV[1], ARGV[2]
local where, pivot, item = ARGV[3], ARGV[4], ARGV[5]

if not redis.call('HGET', config, 'type') then
  return redis.error_reply('FEEDNOTFOUND')
end
-- The id is taken only once the other item is known to be there.
local stored = redis.call('HEXISTS', items, pivot) == 1
local placed = redis.call('LPOS', ids, pivot)
if not stored or not placed then
  return redis.error_reply('ITEMNOTFOUND')
end
local count = redis.call('GET', publishes) or '0'
if not string.match(count, '^%d+$') or string.format('%.0f', count) ~= count then
  return redis.error_reply('WRONGTYPE ' .. publishes .. ' is no counter')
end
local id
repeat -- an id that a peer chose by itself is passed over
  id = string.format('%.0f', redis.call('INCR', idincr))
until redis.call('HEXISTS', items, id) == 0
redis.call('HSET', items, id, item)
redis.call('LINSERT', ids, where, pivot, id)
redis.call('INCR', publishes)
redis.call('PUBLISH', publish_channel, id .. '\0' .. item)
redis.call('PUBLISH', position_channel,
  id .. '\0' .. (where == 'BEFORE' and ':' .. pivot or pivot .. ':'))
return id
