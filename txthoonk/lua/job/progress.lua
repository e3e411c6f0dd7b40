-- Tell how far a claimed job is. Nothing is stored.
--
-- KEYS[1] claimed  zset  claimed jobs by when they were claimed, milliseconds
-- KEYS[2] lease    hash  id -> token, claimed score, end of the lease
-- ARGV[1] progress_channel  channel  what running jobs tell
-- ARGV[2] id                text     of the job
-- ARGV[3] token             text     of the claim; empty where it is a peer's
-- ARGV[4] value             bytes
-- Returns: integer  1
-- Errors: JOBNOTCLAIMED, LEASELOST
-- Publishes: progress_channel id NUL value
local claimed, lease = KEYS[1], KEYS[2]
local progress_channel, id, token, value = ARGV[1], ARGV[2], ARGV[3], ARGV[4]

local score = redis.call('ZSCORE', claimed, id)
local found = redis.call('HGET', lease, id) or ''
local held = token .. ' ' .. (score or '') .. ' '
if not score and token == '' then
  return redis.error_reply('JOBNOTCLAIMED')
end
if token ~= '' and not (score and string.sub(found, 1, #held) == held) then
  return redis.error_reply('LEASELOST')
end
redis.call('PUBLISH', progress_channel, id .. '\0' .. value)
return 1
