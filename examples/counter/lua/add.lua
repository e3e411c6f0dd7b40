-- Add to a counter, but not beyond its limit.
-- ARGV: name, amount
-- Answers: error or false, the total, and with the error LIMIT the limit
local name, amount = unpack(ARGV)

local limit = redis.call('GET', 'counter.limit:' .. name)
local total = tonumber(redis.call('GET', 'counter.total:' .. name) or 0)
if limit and total + amount > tonumber(limit) then
  return {'LIMIT', total, tonumber(limit)}
end
total = redis.call('INCRBY', 'counter.total:' .. name, amount)
redis.call('PUBLISH', 'event.counter.changed:' .. name, string.format('%.0f', total))
return {false, total}
