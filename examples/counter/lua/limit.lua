-- Let a counter go so far and no further; an empty limit takes it away.
-- ARGV: name, limit
-- Answers: false
local name, limit = unpack(ARGV)

if limit == '' then
  redis.call('DEL', 'counter.limit:' .. name)
else
  redis.call('SET', 'counter.limit:' .. name, limit)
end
redis.call('PUBLISH', 'event.counter.limited:' .. name, limit)
return {false}
