-- Give up a claim: the job is available again, behind the others, or later; or it is parked, if
-- that was one attempt too many. What went wrong is added to its history.
--
-- KEYS[1] config     hash  options of the feed
-- KEYS[2] claimed    zset  claimed jobs by when they were claimed, milliseconds
-- KEYS[3] cancelled  hash  id -> how often it was cancelled
-- KEYS[4] ids        list  available jobs, the next one at the right
-- KEYS[5] lease      hash  id -> token, claimed score, end of the lease
-- KEYS[6] stalled    set   stalled jobs
-- KEYS[7] published  zset  jobs by when they were put, milliseconds
-- KEYS[8] delayed    zset  delayed jobs by when they are due, milliseconds
-- KEYS[9] errors     hash  id -> history of its attempts
-- ARGV[1] cancel_channel  channel       claims that were given up
-- ARGV[2] expire_channel  channel       claims that were not finished in time
-- ARGV[3] delay_channel   channel       jobs that wait until they are due
-- ARGV[4] stall_channel   channel       jobs that were parked
-- ARGV[5] why             text          "cancelled", "failed" or "expired"
-- ARGV[6] id              text          of the job
-- ARGV[7] token           text          of the claim; empty where it is a peer's
-- ARGV[8] delay           milliseconds  until it is available again; 0 for at once; if expired, thousandths at random
-- ARGV[9] worker          text          who gives it up
-- ARGV[10] text           text          what went wrong, one line; may be empty
-- Returns: integer  1 if it will be available again, 0 if it was parked
-- Errors: JOBNOTCLAIMED, LEASELOST
-- Publishes: cancel_channel id NUL count; expire_channel id NUL count; delay_channel id NUL due; stall_channel id NUL text
local config, claimed, cancelled, ids, lease = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local stalled, published, delayed, errors = KEYS[6], KEYS[7], KEYS[8], KEYS[9]
local cancel_channel, expire_channel, delay_channel, stall_channel = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local why, id, token, delay, worker, text = ARGV[5], ARGV[6], ARGV[7], tonumber(ARGV[8]), ARGV[9], ARGV[10]
local call = redis.call

local options = call('HMGET', config, 'max_attempts', 'claim_timeout')
local score = call('ZSCORE', claimed, id)
local held = call('HGET', lease, id)
local time = call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
if not score and token == '' then
  return redis.error_reply('JOBNOTCLAIMED')
end
local claim = token .. ' ' .. (score or '') .. ' '
local is_held = score and held and string.sub(held, 1, #claim) == claim
if token ~= '' and not is_held then
  return redis.error_reply('LEASELOST')
end
if why == 'expired' and not (is_held and tonumber(string.sub(held, #claim + 1)) <= now) then
  return redis.error_reply('LEASELOST it was extended')
end
local count = call('HGET', cancelled, id) or '0'
if not string.match(count, '^%d+$') or string.format('%.0f', count) ~= count then
  if why ~= 'expired' then
    return redis.error_reply('WRONGTYPE ' .. cancelled .. ' holds no count')
  end
  count = '0' -- nobody is there to be told, and the claim would stay for ever
end
call('LLEN', ids)
call('SCARD', stalled)
call('ZCARD', delayed)
local is_published = call('ZSCORE', published, id)
local history = call('HGET', errors, id) or ''
local limit = tonumber(options[1] or '') or (why == 'cancelled' and 0 or 5)
count = tonumber(count) + 1
call('ZREM', claimed, id)
call('HDEL', lease, id)
if text ~= '' then
  history = history .. string.format('%.0f', now) .. '\t' .. worker .. '\t' .. text .. '\n'
  local _, lines = string.gsub(history, '\n', '\n')
  for _ = 11, lines do
    history = string.sub(history, string.find(history, '\n', 1, true) + 1)
  end
  call('HSET', errors, id, history)
end
if limit > 0 and count >= limit then
  call('HDEL', cancelled, id)
  call('ZREM', published, id)
  call('ZREM', delayed, id)
  call('SADD', stalled, id)
  call('PUBLISH', stall_channel, id .. '\0' .. text)
  return 0
end
call('HSET', cancelled, id, string.format('%.0f', count))
if not is_published then
  call('ZADD', published, string.format('%.0f', now), id)
end
if why == 'expired' then
  -- What one process had claimed when it died expires together. If it was one of these jobs that
  -- killed it, and does so again, the others must not be beside it each time: from the second time
  -- on they come back one by one.
  local seconds = tonumber(options[2] or '')
  if not (seconds and seconds > 0 and seconds <= 1e9) then -- nor NaN
    seconds = 30
  end
  delay = count < 2 and 0 or math.floor(delay * math.min(300, seconds * 2 ^ (count - 1)))
end
if delay > 0 then
  local due = string.format('%.0f', now + delay)
  call('SADD', stalled, id)
  call('ZADD', delayed, due, id)
  call('PUBLISH', delay_channel, id .. '\0' .. due)
else
  local payload = id .. '\0' .. string.format('%.0f', count)
  call('LPUSH', ids, id)
  if why == 'expired' then
    call('PUBLISH', expire_channel, payload)
  else
    call('PUBLISH', cancel_channel, payload)
  end
end
return 1
