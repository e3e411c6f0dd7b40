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
-- KEYS[8] delayed    zset    delayed jobs by when they are due, milliseconds
-- KEYS[9] results    hash    id -> query and result
-- KEYS[10] due       zset    results by when they are dropped, milliseconds
-- KEYS[11] cancelled hash    id -> how often it was cancelled
-- KEYS[12] errors    hash    id -> history of its attempts
-- ARGV[1] put_channel    channel       jobs that were put
-- ARGV[2] delay_channel  channel       jobs that wait until they are due
-- ARGV[3] side           text          "LPUSH": behind the others; "RPUSH": before them
-- ARGV[4] delay          milliseconds  until it is available; 0 for at once
-- ARGV[5] id             text          of the job
-- ARGV[6] item           bytes
-- ARGV[7] once           text          "1": an id whose result is kept is left as it is, too; may be missing
-- Returns: integer  1 if it was put, 0 if it was there
-- Errors: FEEDNOTFOUND
-- Publishes: put_channel id NUL item; delay_channel id NUL due
local config, ids, items, publishes, published = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local claimed, stalled, delayed, results, due = KEYS[6], KEYS[7], KEYS[8], KEYS[9], KEYS[10]
local cancelled, errors = KEYS[11], KEYS[12]
local put_channel, delay_channel = ARGV[1], ARGV[2]
local side, delay, id, item = ARGV[3], tonumber(ARGV[4]), ARGV[5], ARGV[6]
local once = ARGV[7]

local options = redis.call('HMGET', config, 'type', 'announce')
if not options[1] then
  return redis.error_reply('FEEDNOTFOUND')
end
redis.call('LLEN', ids)
local is_put = redis.call('ZSCORE', published, id)
local is_claimed = redis.call('ZSCORE', claimed, id)
local is_stalled = redis.call('SISMEMBER', stalled, id) == 1
local is_there = redis.call('HEXISTS', items, id) == 1
local is_delayed = redis.call('ZSCORE', delayed, id)
local has_result = redis.call('HEXISTS', results, id) == 1
local has_count = redis.call('HEXISTS', cancelled, id) == 1
local has_history = redis.call('HEXISTS', errors, id) == 1
local kept_until = redis.call('ZSCORE', due, id)
if is_there and (is_put or is_claimed or is_stalled) then
  return 0
end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
if once == '1' and has_result and tonumber(kept_until or 0) > now then
  return 0
end
redis.call('INCR', publishes)
redis.call('HSET', items, id, item)
redis.call('ZADD', published, string.format('%.0f', now), id)
if is_claimed then
  redis.call('ZREM', claimed, id)
end
if is_stalled then
  redis.call('SREM', stalled, id)
end
if is_delayed then
  redis.call('ZREM', delayed, id)
end
if has_result then -- an earlier job's
  redis.call('HDEL', results, id)
  redis.call('ZREM', due, id)
end
if has_count then
  redis.call('HDEL', cancelled, id)
end
if has_history then
  redis.call('HDEL', errors, id)
end
if delay > 0 then
  redis.call('SADD', stalled, id)
  redis.call('ZADD', delayed, string.format('%.0f', now + delay), id)
else
  redis.call(side, ids, id)
end
if options[2] ~= '0' then
  redis.call('PUBLISH', put_channel, id .. '\0' .. item)
end
if delay > 0 then
  redis.call('PUBLISH', delay_channel, id .. '\0' .. string.format('%.0f', now + delay))
end
return 1
