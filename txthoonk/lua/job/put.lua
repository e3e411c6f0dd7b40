-- Put a job. An id that is there already, in whatever state, is left as it is.
--
-- thoonk.js leaves the item of a job that it retracts, and claimed and stalled ids of a feed that
-- it deletes: a job of such an id is put as any other.
--
-- KEYS[1] config     hash    options of the feed
-- KEYS[2] ids        list    available jobs, the next one at the right
-- KEYS[3] items      hash    id -> item
-- KEYS[4] publishes  string  counter of puts
-- KEYS[5] published  zset    jobs by when they were put, milliseconds
-- KEYS[6] claimed    zset    claimed jobs by when they were claimed, milliseconds
-- KEYS[7] stalled    set     stalled jobs
-- ARGV[1] put_channel  channel  jobs that were put
-- ARGV[2] side         text     "LPUSH": behind the others; "RPUSH": before them
-- ARGV[3] id           text     of the job
-- ARGV[4] item         bytes
-- Returns: integer  1 if it was put, 0 if it was there
-- Errors: FEEDNOTFOUND
-- Publishes: put_channel id NUL item
local config, ids, items, publishes, published = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local claimed, stalled = KEYS[6], KEYS[7]
local put_channel, side, id, item = ARGV[1], ARGV[2], ARGV[3], ARGV[4]

local options = redis.call('HMGET', config, 'type', 'announce')
if not options[1] then
  return redis.error_reply('FEEDNOTFOUND')
end
redis.call('LLEN', ids)
local is_put = redis.call('ZSCORE', published, id)
local is_claimed = redis.call('ZSCORE', claimed, id)
local is_stalled = redis.call('SISMEMBER', stalled, id) == 1
local is_there = redis.call('HEXISTS', items, id) == 1
if is_there and (is_put or is_claimed or is_stalled) then
  return 0
end
local time = redis.call('TIME')
redis.call('INCR', publishes)
redis.call('HSET', items, id, item)
if is_claimed then
  redis.call('ZREM', claimed, id)
end
if is_stalled then
  redis.call('SREM', stalled, id)
end
redis.call(side, ids, id)
redis.call('ZADD', published, string.format('%.0f', time[1] * 1000 + math.floor(time[2] / 1000)), id)
if options[2] ~= '0' then
  redis.call('PUBLISH', put_channel, id .. '\0' .. item)
end
return 1
