-- Release what a claim took whose reply was lost: nobody works on it.
--
-- KEYS[1] claimed  zset  claimed jobs by when they were claimed, milliseconds
-- KEYS[2] ids      list  available jobs, the next one at the right
-- KEYS[3] lease    hash  id -> token, claimed score, end of the lease
-- ARGV[1] release_channel  channel  claims that were given back
-- ARGV[2] token            text     of the claim
-- Returns: integer  how many jobs were released
-- Errors: none
-- Publishes: release_channel id
local claimed, ids, lease = KEYS[1], KEYS[2], KEYS[3]
local release_channel, token = ARGV[1], ARGV[2]

local leases = redis.call('HGETALL', lease)
redis.call('ZCARD', claimed)
redis.call('LLEN', ids)
local released = 0
for i = 1, #leases, 2 do
  local id, score = leases[i], string.match(leases[i + 1], ' ([^ ]+) ')
  if string.sub(leases[i + 1], 1, #token + 1) == token .. ' '
    and redis.call('ZSCORE', claimed, id) == score then
    redis.call('ZREM', claimed, id)
    redis.call('HDEL', lease, id)
    redis.call('RPUSH', ids, id)
    redis.call('PUBLISH', release_channel, id)
    released = released + 1
  end
end
return released
