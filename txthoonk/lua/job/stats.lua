-- How many jobs are in each state, as of one instant.
--
-- KEYS[1] ids        list    available jobs
-- KEYS[2] handoff    list    ids on their way to a claim
-- KEYS[3] claimed    zset    claimed jobs
-- KEYS[4] stalled    set     stalled jobs
-- KEYS[5] publishes  string  counter of puts
-- KEYS[6] finishes   string  counter of finished jobs
-- Returns: list  available, handed, claimed, stalled, puts, finishes
-- Errors: none
-- Publishes: nothing
local ids, handoff, claimed, stalled = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local publishes, finishes = KEYS[5], KEYS[6]

return {
  redis.call('LLEN', ids), redis.call('LLEN', handoff), redis.call('ZCARD', claimed),
  redis.call('SCARD', stalled), tonumber(redis.call('GET', publishes) or 0) or 0,
  tonumber(redis.call('GET', finishes) or 0) or 0,
}
