-- Drop results whose time is over, and what we noted of jobs that peers have ended since.
--
-- KEYS[1] results  hash  id -> query and result
-- KEYS[2] due      zset  results by when they are dropped, milliseconds
-- KEYS[3] lease    hash  id -> token, claimed score, end of the lease
-- KEYS[4] claimed  zset  claimed jobs by when they were claimed, milliseconds
-- KEYS[5] errors   hash  id -> history of its attempts
-- KEYS[6] items    hash  id -> item
-- ARGV[1] lease_cursor   integer  where in the leases to go on; 0 to begin
-- ARGV[2] errors_cursor  integer  the same for the histories
-- ARGV[3] most           integer  about how many of each are looked at
-- Returns: list  how many entries were dropped, the two cursors
-- Errors: none
-- Publishes: nothing
local results, due, lease, claimed, errors, items = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6]
local lease_cursor, errors_cursor, most = ARGV[1], ARGV[2], tonumber(ARGV[3])
local call = redis.call

local time = call('TIME')
local now = string.format('%.0f', time[1] * 1000 + math.floor(time[2] / 1000))
local old = call('ZRANGEBYSCORE', due, '-inf', now, 'LIMIT', 0, most)
call('HLEN', results)
call('ZCARD', claimed)
call('HLEN', items)
local leases = call('HSCAN', lease, lease_cursor, 'COUNT', most)
local histories = call('HSCAN', errors, errors_cursor, 'COUNT', most)
local dropped = #old
if #old > 0 then
  call('ZREM', due, unpack(old))
  call('HDEL', results, unpack(old))
end
for i = 1, #leases[2], 2 do
  if not call('ZSCORE', claimed, leases[2][i]) then
    dropped = dropped + call('HDEL', lease, leases[2][i])
  end
end
for i = 1, #histories[2], 2 do
  if call('HEXISTS', items, histories[2][i]) == 0 then
    dropped = dropped + call('HDEL', errors, histories[2][i])
  end
end
return {dropped, leases[1], histories[1]}
