-- ARGV: name, task, milliseconds now
local name, task, now = unpack(ARGV)

local due = redis.call('ZSCORE', 'recurring:' .. name, task)
if due then
  return {'ALREADY EXISTS', task, due}
end
redis.call('ZADD', 'recurring:' .. name, now, task)
return {false, task, now}
