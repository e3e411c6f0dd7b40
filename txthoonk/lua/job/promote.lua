-- Make delayed jobs available that are due.
--
-- One that is no longer stalled was retried by a peer, one that is not published was stalled by
-- one: these are only forgotten. One without an item was retracted or finished, and a peer that
-- popped a second copy of the id may have claimed one: these are not stalled either.
--
-- KEYS[1] delayed    zset  delayed jobs by when they are due, milliseconds
-- KEYS[2] stalled    set   stalled jobs
-- KEYS[3] published  zset  jobs by when they were put, milliseconds
-- KEYS[4] items      hash  id -> item
-- KEYS[5] ids        list  available jobs, the next one at the right
-- KEYS[6] claimed    zset  claimed jobs by when they were claimed, milliseconds
-- ARGV[1] retry_channel  channel  jobs that are available again
-- ARGV[2] most           integer  how many are looked at
-- Returns: list  how many are available now, milliseconds until the next one is due or -1
-- Errors: none
-- Publishes: retry_channel id
local delayed, stalled, published, items = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local ids, claimed = KEYS[5], KEYS[6]
local retry_channel, most = ARGV[1], tonumber(ARGV[2])

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local due = redis.call('ZRANGEBYSCORE', delayed, '-inf', string.format('%.0f', now), 'LIMIT', 0, most)
redis.call('SCARD', stalled)
redis.call('ZCARD', published)
redis.call('HLEN', items)
redis.call('LLEN', ids)
redis.call('ZCARD', claimed)
local promoted = 0
for _, id in ipairs(due) do
  redis.call('ZREM', delayed, id)
  local is_over = redis.call('HEXISTS', items, id) == 0 or redis.call('ZSCORE', claimed, id)
  if is_over then
    redis.call('SREM', stalled, id)
  elseif redis.call('SISMEMBER', stalled, id) == 1 and redis.call('ZSCORE', published, id) then
    redis.call('SREM', stalled, id)
    redis.call('LPUSH', ids, id)
    redis.call('PUBLISH', retry_channel, id)
    promoted = promoted + 1
  end
end
local next_due = redis.call('ZRANGE', delayed, 0, 0, 'WITHSCORES')
return {promoted, next_due[2] and math.max(0, tonumber(next_due[2]) - now) or -1}
