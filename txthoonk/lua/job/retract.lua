-- Take a job out of its feed, in whatever state it is.
--
-- KEYS[1] items      hash  id -> item
-- KEYS[2] cancelled  hash  id -> how often it was cancelled
-- KEYS[3] published  zset  jobs by when they were put, milliseconds
-- KEYS[4] stalled    set   stalled jobs
-- KEYS[5] claimed    zset  claimed jobs by when they were claimed, milliseconds
-- KEYS[6] ids        list  available jobs, the next one at the right
-- KEYS[7] handoff    list  ids on their way to a claim
-- KEYS[8] seen       zset  ids that maintenance has seen on their way
-- ARGV[1] id  text  of the job
-- Returns: integer  1 if it was there, 0 if not
-- Errors: none
-- Publishes: nothing
local items, cancelled, published, stalled = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local claimed, ids, handoff, seen = KEYS[5], KEYS[6], KEYS[7], KEYS[8]
local id = ARGV[1]

local there = redis.call('HEXISTS', items, id) == 1
there = redis.call('ZSCORE', claimed, id) or there
there = redis.call('SISMEMBER', stalled, id) == 1 or there
redis.call('HLEN', cancelled)
redis.call('ZCARD', published)
redis.call('LLEN', ids)
redis.call('LLEN', handoff)
redis.call('ZCARD', seen)
if not there then
  return 0
end
redis.call('HDEL', items, id)
redis.call('HDEL', cancelled, id)
redis.call('ZREM', published, id)
redis.call('SREM', stalled, id)
redis.call('ZREM', claimed, id)
redis.call('LREM', ids, 0, id)
redis.call('LREM', handoff, 0, id)
redis.call('ZREM', seen, id)
return 1
