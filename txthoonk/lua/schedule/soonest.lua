-- Say which feeds have schedules that are due, and how long it is until the next one has.
--
-- KEYS[1] scheduled  zset  feeds by when the first of their schedules is due, milliseconds
-- ARGV[1] most  integer  how many feeds are named
-- Returns: list  milliseconds until a feed that is not due yet is, or -1; names of feeds that are
-- Errors: none
-- Publishes: nothing
local scheduled = KEYS[1]
local most = tonumber(ARGV[1])

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local text = string.format('%.0f', now)
local due = redis.call('ZRANGEBYSCORE', scheduled, '-inf', text, 'LIMIT', 0, most)
local later = redis.call('ZRANGEBYSCORE', scheduled, '(' .. text, '+inf', 'WITHSCORES', 'LIMIT', 0, 1)
return {later[2] and tonumber(later[2]) - now or -1, unpack(due)}
