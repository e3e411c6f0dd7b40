-- Queue lost jobs again: those in no state that were put, have an item, and were not retracted.
--
-- A peer that works by BRPOP holds a job in no state for an instant, between the pop and the
-- claim. So a job is lost only when it was found in no state at two looks that are so long
-- apart. One that is no longer in published was retracted by thoonk.js, which leaves the item.
--
-- KEYS[1] ids        list  available jobs, the next one at the right
-- KEYS[2] handoff    list  ids on their way to a claim
-- KEYS[3] items      hash  id -> item
-- KEYS[4] claimed    zset  claimed jobs by when they were claimed, milliseconds
-- KEYS[5] stalled    set   stalled jobs
-- KEYS[6] published  zset  jobs by when they were put, milliseconds
-- KEYS[7] lost       zset  ids that maintenance has seen in no state, by milliseconds
-- ARGV[1] retry_channel  channel       jobs that are available again
-- ARGV[2] grace          milliseconds  how long a job may be in no state
-- ARGV[3] suspects       list          a few ids that seem to be in no state
-- Returns: list  how many were queued, how many more may be lost
-- Errors: none
-- Publishes: retry_channel id
local ids, handoff, items, claimed = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local stalled, published, lost = KEYS[5], KEYS[6], KEYS[7]
local retry_channel, grace, suspects = ARGV[1], tonumber(ARGV[2]), {unpack(ARGV, 3)}

local marked = redis.call('ZRANGE', lost, 0, 19) -- by whomever; some may have been found since
redis.call('LLEN', ids)
redis.call('LLEN', handoff)
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
for _, id in ipairs(marked) do
  suspects[#suspects + 1] = id
end
for i, id in ipairs(suspects) do
  -- What costs as much as the lists are long comes last.
  suspects[i] = {id, redis.call('ZSCORE', lost, id), redis.call('HEXISTS', items, id) == 1
    and redis.call('ZSCORE', published, id) and not redis.call('ZSCORE', claimed, id)
    and redis.call('SISMEMBER', stalled, id) == 0
    and not redis.call('LPOS', ids, id) and not redis.call('LPOS', handoff, id)}
end
if #suspects > 0 then
  redis.call('ZREM', lost, '') -- a removal first: Redis then lets this finish at maxmemory
end
local looked, queued, left = {}, 0, 0
for _, suspect in ipairs(suspects) do
  local id, since, is_lost = suspect[1], suspect[2], suspect[3]
  if looked[id] then
    -- marked, and a suspect too
  elseif not is_lost then
    redis.call('ZREM', lost, id)
  elseif now - (since or now) >= grace then
    redis.call('ZREM', lost, id)
    redis.call('LPUSH', ids, id)
    redis.call('PUBLISH', retry_channel, id)
    queued = queued + 1
  else
    if not since then
      redis.call('ZADD', lost, string.format('%.0f', now), id)
    end
    left = left + 1
  end
  looked[id] = true
end
return {queued, left}
