-- Add to a counter, but not beyond its limit.
--
-- KEYS[1] total    string   what it stands at
-- KEYS[2] limit    string   how far it may go; none: without end
-- ARGV[1] changed  channel  the totals
-- ARGV[2] amount   integer
-- Returns: integer  the total
-- Errors: LIMIT
-- Publishes: changed total
local total, limit = unpack(KEYS)
local changed, amount = unpack(ARGV)

local most = redis.call('GET', limit)
local now = tonumber(redis.call('GET', total) or 0)
if most and now + amount > tonumber(most) then
  return redis.error_reply(string.format('LIMIT %.0f of %s', now, most))
end
now = redis.call('INCRBY', total, amount)
redis.call('PUBLISH', changed, string.format('%.0f', now))
return now
