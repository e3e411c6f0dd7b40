-- Finish a claimed job, and announce its result if it has one.
--
-- KEYS[1] claimed    zset    claimed jobs by when they were claimed, milliseconds
-- KEYS[2] cancelled  hash    id -> how often it was cancelled
-- KEYS[3] published  zset    jobs by when they were put, milliseconds
-- KEYS[4] items      hash    id -> item
-- KEYS[5] finishes   string  counter of finished jobs
-- ARGV[1] finish_channel  channel  results
-- ARGV[2] id              text     of the job
-- ARGV[3] result          bytes    may be missing: no result, nothing is announced
-- Returns: integer  1
-- Errors: JOBNOTCLAIMED
-- Publishes: finish_channel id NUL result
local claimed, cancelled, published = KEYS[1], KEYS[2], KEYS[3]
local items, finishes = KEYS[4], KEYS[5]
local finish_channel, id, result = ARGV[1], ARGV[2], ARGV[3]

if not redis.call('ZSCORE', claimed, id) then
  return redis.error_reply('JOBNOTCLAIMED')
end
redis.call('HLEN', cancelled)
redis.call('ZCARD', published)
redis.call('HLEN', items)
local count = redis.call('GET', finishes) or '0'
if not string.match(count, '^%d+$') or string.format('%.0f', count) ~= count then
  return redis.error_reply('WRONGTYPE ' .. finishes .. ' is no counter')
end
redis.call('ZREM', claimed, id)
redis.call('HDEL', cancelled, id)
redis.call('ZREM', published, id)
redis.call('HDEL', items, id)
redis.call('INCR', finishes)
if result then
  redis.call('PUBLISH', finish_channel, id .. '\0' .. result)
end
return 1
