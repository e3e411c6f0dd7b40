-- Give back a claimed job for later, as if it had not been claimed: it waits until it is due.
--
-- KEYS[1] claimed    zset  claimed jobs by when they were claimed, milliseconds
-- KEYS[2] lease      hash  id -> token, claimed score, end of the lease
-- KEYS[3] stalled    set   stalled jobs
-- KEYS[4] published  zset  jobs by when they were put, milliseconds
-- KEYS[5] delayed    zset  delayed jobs by when they are due, milliseconds
-- ARGV[1] delay_channel  channel       jobs that wait until they are due
-- ARGV[2] id             text          of the job
-- ARGV[3] token          text          of the claim; empty where it is a peer's
-- ARGV[4] delay          milliseconds  until it is available again, behind the others; more than 0
-- Returns: integer  1
-- Errors: JOBNOTCLAIMED, LEASELOST
-- Publishes: delay_channel id NUL due
local claimed, lease, stalled, published, delayed = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local delay_channel, id, token, delay = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4])
local call = redis.call

local score = call('ZSCORE', claimed, id)
local held = call('HGET', lease, id)
if not score and token == '' then
  return redis.error_reply('JOBNOTCLAIMED')
end
local claim = token .. ' ' .. (score or '') .. ' '
if token ~= '' and not (score and held and string.sub(held, 1, #claim) == claim) then
  return redis.error_reply('LEASELOST')
end
call('SCARD', stalled)
call('ZCARD', delayed)
local is_published = call('ZSCORE', published, id)
local time = call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local due = string.format('%.0f', now + delay)
call('ZREM', claimed, id)
call('HDEL', lease, id)
if not is_published then
  call('ZADD', published, string.format('%.0f', now), id)
end
call('SADD', stalled, id)
call('ZADD', delayed, due, id)
call('PUBLISH', delay_channel, id .. '\0' .. due)
return 1
