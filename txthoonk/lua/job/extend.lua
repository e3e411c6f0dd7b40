-- Let claims hold for another claim_timeout, from now on.
--
-- KEYS[1] config   hash  options of the feed
-- KEYS[2] claimed  zset  claimed jobs by when they were claimed, milliseconds
-- KEYS[3] lease    hash  id -> token, claimed score, end of the lease
-- ARGV[1] jobs  pairs  id, token, ...; at most 1,000 jobs
-- Returns: list  for each job how long it holds now, milliseconds, or an error
-- Errors: LEASELOST
-- Publishes: nothing
local config, claimed, lease = KEYS[1], KEYS[2], KEYS[3]
local jobs = ARGV
local call = redis.call

local seconds = tonumber(call('HGET', config, 'claim_timeout') or '')
if not (seconds and seconds > 0 and seconds <= 1e9) then -- nor NaN
  seconds = 30
end
local ids = {}
for i = 1, #jobs, 2 do
  ids[#ids + 1] = jobs[i]
end
local scores = call('ZMSCORE', claimed, unpack(ids))
local leases = call('HMGET', lease, unpack(ids))
local time = call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local ends = string.format('%.0f', now + seconds * 1000)
local verdicts, extended = {}, {}
for i, id in ipairs(ids) do
  local held = jobs[2 * i] .. ' ' .. (scores[i] or '') .. ' '
  if scores[i] and string.sub(leases[i] or '', 1, #held) == held then
    verdicts[i] = math.max(1, math.floor(seconds * 1000))
    extended[#extended + 1] = id
    extended[#extended + 1] = held .. ends
  else
    verdicts[i] = 'LEASELOST'
  end
end
if #extended > 0 then
  call('HDEL', lease, '') -- a removal first: Redis then lets this finish at maxmemory
  call('HSET', lease, unpack(extended))
end
return verdicts
