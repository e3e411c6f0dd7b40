-- Finish claimed jobs, keep their queries with their results for a while, and announce them.
--
-- A token must be that of the lease, and the claim the one that the lease is about: a peer's
-- cancel and another claim may have come in between.
--
-- KEYS[1] config     hash    options of the feed
-- KEYS[2] claimed    zset    claimed jobs by when they were claimed, milliseconds
-- KEYS[3] cancelled  hash    id -> how often it was cancelled
-- KEYS[4] published  zset    jobs by when they were put, milliseconds
-- KEYS[5] items      hash    id -> item
-- KEYS[6] finishes   string  counter of finished jobs
-- KEYS[7] lease      hash    id -> token, claimed score, end of the lease
-- KEYS[8] errors     hash    id -> history of its attempts
-- KEYS[9] results    hash    id -> query and result
-- KEYS[10] due       zset    results by when they are dropped, milliseconds
-- ARGV[1] finish_channel  channel  results
-- ARGV[2] done_channel    channel  jobs that were finished without one
-- ARGV[3] ttl             seconds  how long results are kept; empty: by the feed's option
-- ARGV[4] jobs            list     id, token or empty, "+" and the result or empty, ...; at most 1,000 jobs
-- Returns: list  for each job 1, or an error
-- Errors: JOBNOTCLAIMED, LEASELOST
-- Publishes: finish_channel id NUL result; done_channel id
local config, claimed, cancelled, published = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local items, finishes, lease, errors = KEYS[5], KEYS[6], KEYS[7], KEYS[8]
local results, due = KEYS[9], KEYS[10]
local finish_channel, done_channel, ttl, first = ARGV[1], ARGV[2], tonumber(ARGV[3]), 4
local jobs = ARGV
local call, sub = redis.call, string.sub

local ids = {}
for i = first, #jobs, 3 do
  ids[#ids + 1] = jobs[i]
end
local kept_for = tonumber(call('HGET', config, 'result_ttl') or 60) or 60
ttl = ttl or kept_for
local scores = call('ZMSCORE', claimed, unpack(ids))
local leases = call('HMGET', lease, unpack(ids))
call('HLEN', cancelled)
call('ZCARD', published)
call('HLEN', items)
call('HLEN', errors)
call('HLEN', results)
call('ZCARD', due)
local count = call('GET', finishes) or '0'
if not string.match(count, '^%d+$') or string.format('%.0f', count) ~= count then
  return redis.error_reply('WRONGTYPE ' .. finishes .. ' is no counter')
end
local verdicts, ended, done = {}, {}, {}
for i, id in ipairs(ids) do
  local token, score = jobs[first + 3 * i - 2], scores[i]
  local held = token .. ' ' .. (score or '') .. ' '
  if not score or done[id] then
    verdicts[i] = token == '' and 'JOBNOTCLAIMED' or 'LEASELOST'
  elseif token ~= '' and sub(leases[i] or '', 1, #held) ~= held then
    verdicts[i] = 'LEASELOST'
  else
    verdicts[i] = 1
    done[id] = true
    ended[#ended + 1] = id
  end
end
if #ended == 0 then
  return verdicts
end
local bodies = ttl > 0 and call('HMGET', items, unpack(ended))
call('ZREM', claimed, unpack(ended))
call('HDEL', cancelled, unpack(ended))
call('ZREM', published, unpack(ended))
call('HDEL', items, unpack(ended))
call('HDEL', lease, unpack(ended))
call('HDEL', errors, unpack(ended))
call('INCRBY', finishes, #ended)
local kept, dropped = {}, {}
local now
if ttl > 0 then
  local time = call('TIME')
  now = time[1] * 1000 + math.floor(time[2] / 1000)
  local old = call('ZRANGEBYSCORE', due, '-inf', string.format('%.0f', now), 'LIMIT', 0, 2 * #ended)
  if #old > 0 then
    call('ZREM', due, unpack(old))
    call('HDEL', results, unpack(old))
  end
end
local number = 0
for i, id in ipairs(ids) do
  if verdicts[i] == 1 then
    local result = jobs[first + 3 * i - 1]
    number = number + 1
    if ttl > 0 then
      local query = bodies[number] or ''
      kept[#kept + 1] = id
      kept[#kept + 1] = #query .. ':' .. query .. (result == '' and '-' or result)
      dropped[#dropped + 1] = string.format('%.0f', now + ttl * 1000)
      dropped[#dropped + 1] = id
    end
    if result == '' then
      call('PUBLISH', done_channel, id)
    else
      call('PUBLISH', finish_channel, id .. '\0' .. sub(result, 2))
    end
  end
end
if #kept > 0 then
  call('HSET', results, unpack(kept))
  call('ZADD', due, unpack(dropped))
end
return verdicts
