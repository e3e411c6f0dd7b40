-- Claim jobs for as long as a lease lasts: the one that a blocked get was handed, then available ones.
--
-- An id that is claimed, stalled or without an item is dropped: a peer may have queued it twice,
-- or a peer's maintenance an id that was on its way to us.
--
-- KEYS[1] config     hash  options of the feed
-- KEYS[2] ids        list  available jobs, the next one at the right
-- KEYS[3] handoff    list  ids on their way to a claim
-- KEYS[4] items      hash  id -> item
-- KEYS[5] claimed    zset  claimed jobs by when they were claimed, milliseconds
-- KEYS[6] cancelled  hash  id -> how often it was cancelled
-- KEYS[7] stalled    set   stalled jobs
-- KEYS[8] seen       zset  ids that maintenance has seen on their way
-- KEYS[9] lease      hash  id -> token, claimed score, end of the lease
-- ARGV[1] claim_channel  channel  jobs that were claimed
-- ARGV[2] count          integer  how many at the most
-- ARGV[3] handed         text     id that a blocked get was handed; NUL for one that is on its way, if any; or empty
-- ARGV[4] token          text     of whoever claims, new for each call, without a space
-- Returns: list  claim_timeout, max_attempts, backoff (empty where not set), then id, item, cancelled, ...
-- Errors: FEEDNOTFOUND
-- Publishes: claim_channel id
local config, ids, handoff, items = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local claimed, cancelled, stalled, seen, lease = KEYS[5], KEYS[6], KEYS[7], KEYS[8], KEYS[9]
local claim_channel, count, handed, token = ARGV[1], tonumber(ARGV[2]), ARGV[3], ARGV[4]
local call = redis.call
local MANY, LONG = 2 * 8, string.rep('\0', 65)

local options = call('HMGET', config, 'type', 'announce', 'claim_timeout', 'max_attempts', 'backoff')
if not options[1] then
  return redis.error_reply('FEEDNOTFOUND')
end
call('LLEN', ids)
call('LLEN', handoff)
call('ZCARD', seen)
call('HLEN', lease)
local nothing_cancelled = call('HLEN', cancelled) == 0
local nothing_stalled = call('SCARD', stalled) == 0
local time = call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local seconds = tonumber(options[3])
if not (seconds and seconds > 0 and seconds <= 1e9) then -- nor NaN
  seconds = 30
end
-- Half a millisecond that no peer writes: a peer that cancels this claim and claims the job within
-- the same one leaves another score.
local score = string.format('%.0f.5', now)
local held = token .. ' ' .. score .. string.format(' %.0f', now + seconds * 1000)
local reply, done = {options[3] or '', options[4] or '', options[5] or ''}, {}

-- Claim those of the candidates that can be, after taking them off their list.
local function claim(candidates, take)
  local bodies = call('HMGET', items, unpack(candidates))
  local claims = call('ZMSCORE', claimed, unpack(candidates))
  local stalls = nothing_stalled or call('SMISMEMBER', stalled, unpack(candidates))
  local counts = nothing_cancelled or call('HMGET', cancelled, unpack(candidates))
  take()
  local scored, leased = {}, {}
  for i, id in ipairs(candidates) do
    if bodies[i] and not claims[i] and (nothing_stalled or stalls[i] == 0) and not done[id] then
      done[id] = true
      scored[#scored + 1] = score
      scored[#scored + 1] = id
      leased[#leased + 1] = id
      leased[#leased + 1] = held
      reply[#reply + 1] = id
      reply[#reply + 1] = bodies[i]
      reply[#reply + 1] = not nothing_cancelled and tonumber(counts[i] or 0) or 0
    end
  end
  if #scored > MANY then
    -- A long member, for this instant: Redis then keeps even a few claims in a form in which one
    -- of them is found without a walk through all.
    scored[#scored + 1] = score
    scored[#scored + 1] = LONG
    call('ZADD', claimed, unpack(scored))
    call('ZREM', claimed, LONG)
  elseif #scored > 0 then
    call('ZADD', claimed, unpack(scored))
  end
  if #leased > 0 then
    call('HSET', lease, unpack(leased))
  end
end

if handed == '\0' then
  handed = call('LINDEX', handoff, 0)
  if not handed then
    return reply
  end
end
if handed ~= '' and call('LPOS', handoff, handed) then
  claim({handed}, function()
    call('LREM', handoff, -1, handed)
    call('ZREM', seen, handed)
  end)
end
while #reply < 3 + 3 * count do
  local wanted = math.min(count + 1 - #reply / 3, 2000)
  local candidates = call('LRANGE', ids, -wanted, -1)
  if #candidates == 0 then
    break
  end
  for i = 1, math.floor(#candidates / 2) do
    local j = #candidates + 1 - i
    candidates[i], candidates[j] = candidates[j], candidates[i]
  end
  claim(candidates, function()
    call('RPOP', ids, #candidates)
  end)
end
if options[2] ~= '0' then
  for i = 4, #reply, 3 do
    call('PUBLISH', claim_channel, reply[i])
  end
end
return reply
