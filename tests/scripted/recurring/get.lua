-- ARGV: name, milliseconds now
local name, now = unpack(ARGV)

local task, due = unpack(redis.call('ZRANGE', 'recurring:' .. name, 0, 0, 'WITHSCORES'))
if not task then
  return {'EMPTY'}
elseif due > now then -- as strings, as its programs do
  return {'NOTYET', false, due}
end
local timeout = redis.call('HGET', 'recurring.config:' .. name, 'timeout')
redis.call('ZADD', 'recurring:' .. name, string.format('%.0f', now + timeout), task)
return {false, task, due}
