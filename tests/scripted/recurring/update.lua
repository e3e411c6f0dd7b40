local name, task, new = unpack(ARGV)

local due = redis.call('ZSCORE', 'recurring:' .. name, task)
redis.call('ZREM', 'recurring:' .. name, task)
redis.call('ZADD', 'recurring:' .. name, due, new)
return {false, new, due}
