-- Say which feeds have items whose time is over, and how long it is until the next one has.
--
-- KEYS[1] expiring  zset  feeds by when the first of their items is over, milliseconds
-- ARGV[1] most  integer  how many feeds are named
-- Returns: list  milliseconds until a feed that has none yet has one, or -1; names of feeds that have
-- Errors: none
-- Publishes: nothing
local expiring = KEYS[1]
local most = tonumber(ARGV[1])

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local text = string.format('%.0f', now)
local over = redis.call('ZRANGEBYSCORE', expiring, '-inf', text, 'LIMIT', 0, most)
local later = redis.call('ZRANGEBYSCORE', expiring, '(' .. text, '+inf', 'WITHSCORES', 'LIMIT', 0, 1)
return {later[2] and tonumber(later[2]) - now or -1, unpack(over)}
