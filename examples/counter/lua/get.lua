-- Answers: false, the total, the limit or false
local name = ARGV[1]

local total = redis.call('GET', 'counter.total:' .. name)
local limit = redis.call('GET', 'counter.limit:' .. name)
return {false, tonumber(total or 0), limit and tonumber(limit)}
