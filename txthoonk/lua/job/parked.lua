-- The ids of all parked jobs: those that are stalled, and not just until they are due.
--
-- A delayed job that a peer has stalled is parked too: it is no longer published.
--
-- KEYS[1] stalled    set   stalled jobs
-- KEYS[2] delayed    zset  delayed jobs by when they are due, milliseconds
-- KEYS[3] published  zset  jobs by when they were put, milliseconds
-- Returns: list  ids
-- Errors: none
-- Publishes: nothing
local stalled, delayed, published = KEYS[1], KEYS[2], KEYS[3]
local call = redis.call

local ids, parked = call('SMEMBERS', stalled), {}
call('ZCARD', delayed)
call('ZCARD', published)
for start = 1, #ids, 5000 do
  local stop = math.min(start + 4999, #ids)
  local later = call('ZMSCORE', delayed, unpack(ids, start, stop))
  local puts = call('ZMSCORE', published, unpack(ids, start, stop))
  for i = start, stop do
    if not (later[i - start + 1] and puts[i - start + 1]) then
      parked[#parked + 1] = ids[i]
    end
  end
end
return parked
