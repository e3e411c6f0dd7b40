-- Make a parked or delayed job available again, behind the others.
--
-- KEYS[1] stalled    set   stalled jobs
-- KEYS[2] ids        list  available jobs, the next one at the right
-- KEYS[3] published  zset  jobs by when they were put, milliseconds
-- KEYS[4] items      hash  id -> item
-- KEYS[5] delayed    zset  delayed jobs by when they are due, milliseconds
-- ARGV[1] retry_channel  channel  jobs that are available again
-- ARGV[2] id             text     of the job
-- Returns: integer  1
-- Errors: JOBNOTSTALLED, ITEMNOTFOUND
-- Publishes: retry_channel id
local stalled, ids, published, items, delayed = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local retry_channel, id = ARGV[1], ARGV[2]

if redis.call('SISMEMBER', stalled, id) == 0 then
  return redis.error_reply('JOBNOTSTALLED')
end
redis.call('LLEN', ids)
redis.call('ZCARD', published)
redis.call('ZCARD', delayed)
if redis.call('HEXISTS', items, id) == 0 then
  return redis.error_reply('ITEMNOTFOUND')
end
local time = redis.call('TIME')
redis.call('SREM', stalled, id)
redis.call('ZREM', delayed, id)
redis.call('LPUSH', ids, id)
redis.call('ZADD', published, string.format('%.0f', time[1] * 1000 + math.floor(time[2] / 1000)), id)
redis.call('PUBLISH', retry_channel, id)
return 1
