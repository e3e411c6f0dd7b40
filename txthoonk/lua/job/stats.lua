-- How many jobs are in each state, as of one instant.
--
-- A delayed job that a peer has retried, stalled or retracted is forgotten when it is due; until
-- then it counts as delayed where more than a thousand are.
--
-- KEYS[1] ids        list    available jobs
-- KEYS[2] handoff    list    ids on their way to a claim
-- KEYS[3] claimed    zset    claimed jobs
-- KEYS[4] stalled    set     stalled jobs
-- KEYS[5] delayed    zset    delayed jobs by when they are due, milliseconds
-- KEYS[6] published  zset    jobs by when they were put, milliseconds
-- KEYS[7] publishes  string  counter of puts
-- KEYS[8] finishes   string  counter of finished jobs
-- Returns: list  available, handed, claimed, stalled for good, delayed, puts, finishes
-- Errors: none
-- Publishes: nothing
local ids, handoff, claimed, stalled = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local delayed, published, publishes, finishes = KEYS[5], KEYS[6], KEYS[7], KEYS[8]
local call = redis.call

local later, all_stalled = call('ZCARD', delayed), call('SCARD', stalled)
call('ZCARD', published)
if later > 1000 then
  later = math.min(later, all_stalled)
elseif later > 0 then
  local some = call('ZRANGE', delayed, 0, -1)
  local stalls = call('SMISMEMBER', stalled, unpack(some))
  local puts = call('ZMSCORE', published, unpack(some))
  for i = 1, #some do
    if stalls[i] == 0 or not puts[i] then
      later = later - 1
    end
  end
end
return {
  call('LLEN', ids), call('LLEN', handoff), call('ZCARD', claimed), all_stalled - later,
  later, tonumber(call('GET', publishes) or 0) or 0, tonumber(call('GET', finishes) or 0) or 0,
}
