-- Begin anew.
-- ARGV: name
-- Answers: false, the total until now
local name = ARGV[1]

local total = redis.call('GET', 'counter.total:' .. name)
redis.call('DEL', 'counter.total:' .. name)
redis.call('PUBLISH', 'event.counter.changed:' .. name, '0')
return {false, tonumber(total or 0)}
