-- Take a job out of its feed, in whatever state it is. If it runs, its worker is told to stop.
--
-- KEYS[1] items      hash  id -> item
-- KEYS[2] cancelled  hash  id -> how often it was cancelled
-- KEYS[3] published  zset  jobs by when they were put, milliseconds
-- KEYS[4] stalled    set   stalled jobs
-- KEYS[5] claimed    zset  claimed jobs by when they were claimed, milliseconds
-- KEYS[6] ids        list  available jobs, the next one at the right
-- KEYS[7] handoff    list  ids on their way to a claim
-- KEYS[8] seen       zset  ids that maintenance has seen on their way
-- KEYS[9] lease      hash  id -> token, claimed score, end of the lease
-- KEYS[10] delayed   zset  delayed jobs by when they are due, milliseconds
-- KEYS[11] errors    hash  id -> history of its attempts
-- ARGV[1] job_retract_channel  channel  jobs that were taken out
-- ARGV[2] stop_channel         channel  claims that were taken away
-- ARGV[3] id                   text     of the job
-- Returns: integer  1 if it was there, 0 if not
-- Errors: none
-- Publishes: job_retract_channel id; stop_channel id NUL token
local items, cancelled, published, stalled = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local claimed, ids, handoff, seen = KEYS[5], KEYS[6], KEYS[7], KEYS[8]
local lease, delayed, errors = KEYS[9], KEYS[10], KEYS[11]
local job_retract_channel, stop_channel, id = ARGV[1], ARGV[2], ARGV[3]

local there = redis.call('HEXISTS', items, id) == 1
local score = redis.call('ZSCORE', claimed, id)
there = redis.call('SISMEMBER', stalled, id) == 1 or score or there
local held = redis.call('HGET', lease, id) or ''
redis.call('HLEN', cancelled)
redis.call('ZCARD', published)
redis.call('LLEN', ids)
redis.call('LLEN', handoff)
redis.call('ZCARD', seen)
redis.call('ZCARD', delayed)
redis.call('HLEN', errors)
if not there then
  return 0
end
redis.call('HDEL', items, id)
redis.call('HDEL', cancelled, id)
redis.call('ZREM', published, id)
redis.call('SREM', stalled, id)
redis.call('ZREM', claimed, id)
if not score then -- a claim drops a copy that a peer queued: it has no item
  redis.call('LREM', ids, 0, id)
  redis.call('LREM', handoff, 0, id)
end
redis.call('ZREM', seen, id)
redis.call('HDEL', lease, id)
redis.call('ZREM', delayed, id)
redis.call('HDEL', errors, id)
redis.call('PUBLISH', job_retract_channel, id)
local holder = score and string.match(held, '^([^ ]+) ')
if holder then
  redis.call('PUBLISH', stop_channel, id .. '\0' .. holder)
end
return 1
