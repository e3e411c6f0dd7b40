-- Park a claimed or available job until somebody retries it.
--
-- KEYS[1] claimed    zset  claimed jobs by when they were claimed, milliseconds
-- KEYS[2] cancelled  hash  id -> how often it was cancelled
-- KEYS[3] stalled    set   stalled jobs
-- KEYS[4] published  zset  jobs by when they were put, milliseconds
-- KEYS[5] ids        list  available jobs, the next one at the right
-- KEYS[6] handoff    list  ids on their way to a claim
-- KEYS[7] items      hash  id -> item
-- ARGV[1] id  text  of the job
-- Returns: integer  1
-- Errors: ITEMNOTFOUND, JOBNOTCLAIMED
-- Publishes: nothing
local claimed, cancelled, stalled, published = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local ids, handoff, items = KEYS[5], KEYS[6], KEYS[7]
local id = ARGV[1]

local is_claimed = redis.call('ZSCORE', claimed, id)
redis.call('HLEN', cancelled)
local is_stalled = redis.call('SISMEMBER', stalled, id) == 1
redis.call('ZCARD', published)
local is_available = redis.call('LPOS', ids, id)
local is_handed = redis.call('LPOS', handoff, id)
if redis.call('HEXISTS', items, id) == 0 and not is_claimed then
  return redis.error_reply('ITEMNOTFOUND')
end
if is_stalled or not (is_claimed or is_available or is_handed) then
  return redis.error_reply('JOBNOTCLAIMED it is ' .. (is_stalled and 'stalled' or 'in no state'))
end
redis.call('ZREM', claimed, id)
redis.call('LREM', ids, 0, id)
redis.call('LREM', handoff, 0, id)
redis.call('HDEL', cancelled, id)
redis.call('ZREM', published, id)
redis.call('SADD', stalled, id)
return 1
