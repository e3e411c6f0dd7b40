-- Park a claimed, available or delayed job until somebody retries it.
--
-- If somebody else's claim is taken away by that, its worker is told to stop.
--
-- KEYS[1] claimed    zset  claimed jobs by when they were claimed, milliseconds
-- KEYS[2] cancelled  hash  id -> how often it was cancelled
-- KEYS[3] stalled    set   stalled jobs
-- KEYS[4] published  zset  jobs by when they were put, milliseconds
-- KEYS[5] ids        list  available jobs, the next one at the right
-- KEYS[6] handoff    list  ids on their way to a claim
-- KEYS[7] items      hash  id -> item
-- KEYS[8] lease      hash  id -> token, claimed score, end of the lease
-- KEYS[9] delayed    zset  delayed jobs by when they are due, milliseconds
-- KEYS[10] errors    hash  id -> history of its attempts
-- ARGV[1] stall_channel  channel  jobs that were parked
-- ARGV[2] stop_channel   channel  claims that were taken away
-- ARGV[3] id             text     of the job
-- ARGV[4] token          text     of the caller's claim; empty where there is none
-- ARGV[5] only           text     "claimed": it must be; or empty
-- ARGV[6] worker         text     who parks it
-- ARGV[7] reason         text     one line; may be empty
-- Returns: integer  1
-- Errors: ITEMNOTFOUND, JOBNOTCLAIMED, LEASELOST
-- Publishes: stall_channel id NUL reason; stop_channel id NUL token
local claimed, cancelled, stalled, published = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local ids, handoff, items, lease, delayed, errors = KEYS[5], KEYS[6], KEYS[7], KEYS[8], KEYS[9], KEYS[10]
local stall_channel, stop_channel = ARGV[1], ARGV[2]
local id, token, only, worker, reason = ARGV[3], ARGV[4], ARGV[5], ARGV[6], ARGV[7]

local score = redis.call('ZSCORE', claimed, id)
local held = redis.call('HGET', lease, id) or ''
redis.call('HLEN', cancelled)
local is_stalled = redis.call('SISMEMBER', stalled, id) == 1
local is_published = redis.call('ZSCORE', published, id)
local is_delayed = redis.call('ZSCORE', delayed, id) and is_stalled and is_published
local history = redis.call('HGET', errors, id) or ''
redis.call('LLEN', ids)
redis.call('LLEN', handoff)
-- What is claimed is not looked for among all that wait: a claim drops a copy that a peer queued.
local is_available = not score and redis.call('LPOS', ids, id)
local is_handed = not score and redis.call('LPOS', handoff, id)
local has_item = redis.call('HEXISTS', items, id) == 1
local claim = token .. ' ' .. (score or '') .. ' '
if token ~= '' and not (score and string.sub(held, 1, #claim) == claim) then
  return redis.error_reply('LEASELOST')
end
if not has_item and not score then
  return redis.error_reply('ITEMNOTFOUND')
end
if is_stalled and not is_delayed or not (score or is_available or is_handed or is_delayed)
  or only == 'claimed' and not score then
  local state = is_delayed and 'delayed' or is_stalled and 'stalled'
    or (is_available or is_handed) and 'available' or 'in no state'
  return redis.error_reply('JOBNOTCLAIMED it is ' .. state)
end
redis.call('ZREM', claimed, id)
redis.call('HDEL', lease, id)
if not score then
  redis.call('LREM', ids, 0, id)
  redis.call('LREM', handoff, 0, id)
end
redis.call('HDEL', cancelled, id)
redis.call('ZREM', published, id)
redis.call('ZREM', delayed, id)
redis.call('SADD', stalled, id)
if reason ~= '' then
  local time = redis.call('TIME')
  local now = string.format('%.0f', time[1] * 1000 + math.floor(time[2] / 1000))
  history = history .. now .. '\t' .. worker .. '\t' .. reason .. '\n'
  local _, lines = string.gsub(history, '\n', '\n')
  for _ = 11, lines do
    history = string.sub(history, string.find(history, '\n', 1, true) + 1)
  end
  redis.call('HSET', errors, id, history)
end
redis.call('PUBLISH', stall_channel, id .. '\0' .. reason)
local holder = score and string.match(held, '^([^ ]+) ')
if holder and holder ~= token then
  redis.call('PUBLISH', stop_channel, id .. '\0' .. holder)
end
return 1
