-- Look what has become of jobs that were brought to the other dialect, and end them at their origin.
--
-- One that was finished is finished at its origin, with its result; one that was parked is parked
-- there; one that was retracted, cancelled or parked at its origin meanwhile is taken out here; one that
-- is not known here any more is available again. All of that once, whoever says it how often.
--
-- KEYS[1] origin_config      hash    options of the feed they come from
-- KEYS[2] origin_ids         list    available jobs there, the next one at the right
-- KEYS[3] origin_items       hash    id -> item
-- KEYS[4] origin_published   zset    jobs by when they were put, milliseconds
-- KEYS[5] origin_claimed     zset    claimed jobs by when they were claimed, milliseconds
-- KEYS[6] origin_cancelled   hash    id -> how often it was cancelled
-- KEYS[7] origin_stalled     set     stalled jobs
-- KEYS[8] origin_lease       hash    id -> token, claimed score, end of the lease
-- KEYS[9] origin_errors      hash    id -> history of its attempts
-- KEYS[10] origin_finishes   string  counter of finished jobs
-- KEYS[11] origin_results    hash    id -> query and result
-- KEYS[12] origin_due        zset    results by when they are dropped, milliseconds
-- KEYS[13] ids               list    available jobs here, the next one at the right
-- KEYS[14] handoff           list    ids on their way to a claim
-- KEYS[15] items             hash    id -> item
-- KEYS[16] published         zset    jobs by when they were put, milliseconds
-- KEYS[17] claimed           zset    claimed jobs by when they were claimed, milliseconds
-- KEYS[18] cancelled         hash    id -> how often it was cancelled
-- KEYS[19] stalled           set     stalled jobs
-- KEYS[20] delayed           zset    delayed jobs by when they are due, milliseconds
-- KEYS[21] lease             hash    id -> token, claimed score, end of the lease
-- KEYS[22] errors            hash    id -> history of its attempts
-- KEYS[23] results           hash    id -> query and result
-- KEYS[24] bridged           hash    jobs that were brought here -> claimed score at their origin
-- KEYS[25] config            hash    options of the feed here
-- ARGV[1] origin_finish_channel       channel  results
-- ARGV[2] origin_done_channel         channel  jobs that were finished without one
-- ARGV[3] origin_stall_channel        channel  jobs that were parked
-- ARGV[4] origin_job_retract_channel  channel  jobs that were taken out
-- ARGV[5] origin_release_channel      channel  jobs that are available again
-- ARGV[6] stop_channel                channel  claims that were taken away here
-- ARGV[7] token                       text     of bridges to this side
-- ARGV[8] jobs                        pairs    id, what was heard: "+" and the result, "-" for finished without one, "x" for retracted, "<" to take it back if it is still available, or empty, ...; at most 500
-- Returns: list  for each job: finished, parked, retracted, released, dropped, gone (nobody knows how it ended), claimed, waiting, or nothing
-- Errors: none
-- Publishes: origin_finish_channel id NUL result; origin_done_channel id; origin_stall_channel id NUL reason; origin_job_retract_channel id; origin_release_channel id; stop_channel id NUL token
local origin_config, origin_ids, origin_items, origin_published = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local origin_claimed, origin_cancelled, origin_stalled, origin_lease = KEYS[5], KEYS[6], KEYS[7], KEYS[8]
local origin_errors, origin_finishes, origin_results, origin_due = KEYS[9], KEYS[10], KEYS[11], KEYS[12]
local ids, handoff, items, published, claimed = KEYS[13], KEYS[14], KEYS[15], KEYS[16], KEYS[17]
local cancelled, stalled, delayed, lease = KEYS[18], KEYS[19], KEYS[20], KEYS[21]
local errors, results, bridged, config = KEYS[22], KEYS[23], KEYS[24], KEYS[25]
local origin_finish_channel, origin_done_channel, origin_stall_channel = ARGV[1], ARGV[2], ARGV[3]
local origin_job_retract_channel, origin_release_channel = ARGV[4], ARGV[5]
local stop_channel, token, jobs = ARGV[6], ARGV[7], {unpack(ARGV, 8)}
local call, sub = redis.call, string.sub

local ttl = tonumber(call('HGET', origin_config, 'result_ttl') or 60) or 60
call('LLEN', origin_ids)
call('HLEN', origin_items)
call('ZCARD', origin_published)
call('ZCARD', origin_claimed)
call('HLEN', origin_cancelled)
call('SCARD', origin_stalled)
call('HLEN', origin_lease)
call('HLEN', origin_errors)
call('HLEN', origin_results)
call('ZCARD', origin_due)
call('LLEN', ids)
call('LLEN', handoff)
call('HLEN', items)
call('ZCARD', published)
call('ZCARD', claimed)
call('HLEN', cancelled)
call('SCARD', stalled)
call('ZCARD', delayed)
call('HLEN', lease)
call('HLEN', errors)
call('HLEN', results)
call('HLEN', bridged)
local is_deleted = not call('HGET', config, 'type')
local count = call('GET', origin_finishes) or '0'
if not string.match(count, '^%d+$') or string.format('%.0f', count) ~= count then
  return redis.error_reply('WRONGTYPE ' .. origin_finishes .. ' is no counter')
end
local time = call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

-- Take a job out of this side; the bridge forgets it first. That is not told as a retract: a bridge
-- that hears of it late, when the job is here once more, would take that for the end of this one.
local function take_out(id)
  call('HDEL', bridged, id)
  call('HDEL', items, id)
  call('HDEL', cancelled, id)
  call('ZREM', published, id)
  call('SREM', stalled, id)
  call('ZREM', claimed, id)
  call('ZREM', delayed, id)
  call('HDEL', lease, id)
  call('HDEL', errors, id)
  call('LREM', ids, 0, id)
  call('LREM', handoff, 0, id)
end

-- Take it out of its origin.
local function leave(id)
  call('ZREM', origin_claimed, id)
  call('HDEL', origin_lease, id)
  call('HDEL', origin_cancelled, id)
  call('ZREM', origin_published, id)
  call('HDEL', origin_items, id)
  call('HDEL', origin_errors, id)
end

local function release(id)
  call('ZREM', origin_claimed, id)
  call('HDEL', origin_lease, id)
  call('RPUSH', origin_ids, id)
  call('PUBLISH', origin_release_channel, id)
  return 'released'
end

local function finish(id, outcome)
  local query = ttl > 0 and call('HGET', origin_items, id) or ''
  call('HDEL', bridged, id)
  leave(id)
  call('INCR', origin_finishes)
  if ttl > 0 then
    call('HSET', origin_results, id, #query .. ':' .. query .. outcome)
    call('ZADD', origin_due, string.format('%.0f', now + ttl * 1000), id)
  end
  if outcome == '-' then
    call('PUBLISH', origin_done_channel, id)
  else
    call('PUBLISH', origin_finish_channel, id .. '\0' .. sub(outcome, 2))
  end
  return 'finished'
end

local function park(id)
  local history = (call('HGET', origin_errors, id) or '') .. (call('HGET', errors, id) or '')
  local reason = string.match(history, '\t([^\t\n]*)\n$') or ''
  take_out(id)
  call('ZREM', origin_claimed, id)
  call('HDEL', origin_lease, id)
  call('HDEL', origin_cancelled, id)
  call('ZREM', origin_published, id)
  call('SADD', origin_stalled, id)
  local _, lines = string.gsub(history, '\n', '\n')
  for _ = 11, lines do
    history = sub(history, string.find(history, '\n', 1, true) + 1)
  end
  if history ~= '' then
    call('HSET', origin_errors, id, history)
  end
  call('PUBLISH', origin_stall_channel, id .. '\0' .. reason)
  return 'parked'
end

local function settle(id, heard)
  local score = call('HGET', bridged, id)
  local claim = call('ZSCORE', origin_claimed, id)
  local held = call('HGET', origin_lease, id) or ''
  local prefix = token .. ' ' .. (claim or '') .. ' '
  local is_held = claim and sub(held, 1, #prefix) == prefix
  if not score then
    return is_held and release(id) or 'nothing'
  end
  local has_item = call('HEXISTS', items, id) == 1
  local is_claimed = call('ZSCORE', claimed, id)
  local is_stalled = call('SISMEMBER', stalled, id) == 1
  local is_published = call('ZSCORE', published, id)
  if not is_held or claim ~= score then
    local holder = is_claimed and string.match(call('HGET', lease, id) or '', '^([^ ]+) ')
    take_out(id)
    if holder then
      call('PUBLISH', stop_channel, id .. '\0' .. holder)
    end
    return 'dropped'
  end
  if is_deleted and not has_item then
    take_out(id)
    return release(id)
  end
  if has_item and is_stalled and not (is_published and call('ZSCORE', delayed, id)) then
    return park(id)
  end
  if is_claimed or is_stalled then
    return 'claimed'
  end
  -- thoonk.js leaves the item of a job that it retracts.
  if has_item and (is_published or call('LPOS', ids, id) or call('LPOS', handoff, id)) then
    if heard == '<' and call('LPOS', ids, id) then
      local times = call('HGET', cancelled, id)
      take_out(id)
      release(id)
      if times then
        call('HSET', origin_cancelled, id, times)
      end
      return 'released'
    end
    return 'waiting'
  end
  if heard == 'x' then
    take_out(id)
    leave(id)
    call('PUBLISH', origin_job_retract_channel, id)
    return 'retracted'
  end
  local first = sub(heard, 1, 1)
  if first ~= '+' and heard ~= '-' then
    local kept = call('HGET', results, id)
    local length = kept and string.match(kept, '^(%d+):')
    heard = length and sub(kept, #length + 2 + length) or ''
    if heard == '' then
      return 'gone'
    end
  end
  if has_item then
    call('HDEL', items, id)
  end
  return finish(id, heard)
end

local verdicts = {}
for i = 1, #jobs, 2 do
  verdicts[#verdicts + 1] = settle(jobs[i], jobs[i + 1])
end
return verdicts
