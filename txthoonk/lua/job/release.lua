-- Give back claimed jobs as if they had not been claimed: they are the next ones to be taken.
--
-- KEYS[1] claimed  zset  claimed jobs by when they were claimed, milliseconds
-- KEYS[2] ids      list  available jobs, the next one at the right
-- KEYS[3] lease    hash  id -> token, claimed score, end of the lease
-- ARGV[1] release_channel  channel  claims that were given back
-- ARGV[2] released         list     id, token or empty, ... in the order they were claimed; at most 1,000 jobs
-- Returns: list  for each job 1, or an error
-- Errors: JOBNOTCLAIMED, LEASELOST
-- Publishes: release_channel id
local claimed, ids, lease = KEYS[1], KEYS[2], KEYS[3]
local release_channel, first = ARGV[1], 2
local released = ARGV

redis.call('LLEN', ids)
local verdicts = {}
for i = first, #released, 2 do
  local id, token = released[i], released[i + 1]
  local score = redis.call('ZSCORE', claimed, id)
  local held = token .. ' ' .. (score or '') .. ' '
  local found = redis.call('HGET', lease, id) or ''
  verdicts[#verdicts + 1] = not score and token == '' and 'JOBNOTCLAIMED'
    or (not score or token ~= '' and string.sub(found, 1, #held) ~= held) and 'LEASELOST' or 1
end
for i = #verdicts, 1, -1 do
  local id = released[first + 2 * i - 2]
  if verdicts[i] == 1 and redis.call('ZREM', claimed, id) == 1 then
    redis.call('HDEL', lease, id)
    redis.call('RPUSH', ids, id)
    redis.call('PUBLISH', release_channel, id)
  end
end
return verdicts
