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
-- ARGV[1] grace     milliseconds  how long a job may be in no state
-- ARGV[2] suspects  list          all ids that seem to be in no state, at most 5,000
-- Returns: list  how many were queued, how many more may be lost
-- Errors: none
-- Publishes: nothing
local ids, handoff, items, claimed = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local stalled, published, lost = KEYS[5], KEYS[6], KEYS[7]
local grace, suspects = tonumber(ARGV[1]), {unpack(ARGV, 2)}

local marks = redis.call('ZRANGE', lost, 0, -1, 'WITHSCORES')
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local pending = {}
for _, id in ipairs(suspects) do
  local known = redis.call('LPOS', ids, id) or redis.call('LPOS', handoff, id)
    or redis.call('ZSCORE', claimed, id) or redis.call('SISMEMBER', stalled, id) == 1
  if not known and redis.call('ZSCORE', published, id) and redis.call('HEXISTS', items, id) == 1 then
    pending[id] = true
  end
end
local since = {}
for i = 1, #marks, 2 do
  if pending[marks[i]] then
    since[marks[i]] = tonumber(marks[i + 1])
  else
    redis.call('ZREM', lost, marks[i]) -- found meanwhile
  end
end
local queued, left = 0, 0
for _, id in ipairs(suspects) do
  if pending[id] then
    pending[id] = nil
    if now - (since[id] or now) >= grace then
      redis.call('ZREM', lost, id)
      redis.call('LPUSH', ids, id)
      queued = queued + 1
    else
      if not since[id] then
        redis.call('ZADD', lost, string.format('%.0f', now), id)
      end
      left = left + 1
    end
  end
end
return {queued, left}
