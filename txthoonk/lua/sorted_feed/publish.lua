-- Publish an item at one end of a sorted feed.
--
-- KEYS[1] config     hash    options of the feed
-- KEYS[2] ids        list    ids in order
-- KEYS[3] items      hash    id -> item
-- KEYS[4] publishes  string  counter of publishes and edits
-- KEYS[5] idincr     string  the last id that was given
-- ARGV[1] publish_channel   channel  new and edited items
-- ARGV[2] position_channel  channel  places of items
-- ARGV[3] position          text     ":end" or "begin:"
-- ARGV[4] item              bytes
-- Returns: string  the id
-- Errors: FEEDNOTFOUND
-- Publishes: publish_channel id NUL item; position_channel id NUL position
local config, ids, items, publishes, idincr = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local publish_channel, position_channel, position, item = ARGV[1], ARGV[2], ARGV[3], ARGV[4]

if not redis.call('HGET', config, 'type') then
  return redis.error_reply('FEEDNOTFOUND')
end
redis.call('LLEN', ids)
redis.call('HLEN', items)
local count = redis.call('GET', publishes) or '0'
if not string.match(count, '^%d+$') or string.format('%.0f', count) ~= count then
  return redis.error_reply('WRONGTYPE ' .. publishes .. ' is no counter')
end
local id
repeat -- an id that a peer chose by itself is passed over
  id = string.format('%.0f', redis.call('INCR', idincr))
until redis.call('HEXISTS', items, id) == 0
redis.call('HSET', items, id, item)
redis.call(position == 'begin:' and 'LPUSH' or 'RPUSH', ids, id)
redis.call('INCR', publishes)
redis.call('PUBLISH', publish_channel, id .. '\0' .. item)
redis.call('PUBLISH', position_channel, id .. '\0' .. position)
return id
