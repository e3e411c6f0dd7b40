-- Give up a claimed job: it is available again, behind the others, and was cancelled once more.
--
-- KEYS[1] claimed    zset  claimed jobs by when they were claimed, milliseconds
-- KEYS[2] cancelled  hash  id -> how often it was cancelled
-- KEYS[3] ids        list  available jobs, the next one at the right
-- ARGV[1] id  text  of the job
-- Returns: integer  1
-- Errors: JOBNOTCLAIMED
-- Publishes: nothing
local claimed, cancelled, ids = KEYS[1], KEYS[2], KEYS[3]
local id = ARGV[1]

if not redis.call('ZSCORE', claimed, id) then
  return redis.error_reply('JOBNOTCLAIMED')
end
redis.call('LLEN', ids)
local count = redis.call('HGET', cancelled, id) or '0'
if not string.match(count, '^%d+$') or string.format('%.0f', count) ~= count then
  return redis.error_reply('WRONGTYPE ' .. cancelled .. ' holds no count')
end
redis.call('ZREM', claimed, id)
redis.call('HINCRBY', cancelled, id, 1)
redis.call('LPUSH', ids, id)
return 1
