-- Return ids that a blocked get was handed and never took: its process died.
--
-- An id counts as abandoned when it was seen in handoff at two passes at least so long apart.
--
-- KEYS[1] ids      list  ids, the next one to be taken at the right
-- KEYS[2] handoff  list  ids on their way to a get
-- KEYS[3] seen     zset  ids that maintenance has seen on their way, by milliseconds
-- ARGV[1] grace  milliseconds  how long an id may be on its way
-- ARGV[2] most   integer       how many are looked at
-- Returns: integer  how many were returned
-- Errors: none
-- Publishes: nothing
local ids, handoff, seen = KEYS[1], KEYS[2], KEYS[3]
local grace, most = tonumber(ARGV[1]), tonumber(ARGV[2])

local on_their_way = redis.call('LRANGE', handoff, -most, -1)
redis.call('LLEN', ids)
local marks = redis.call('ZRANGE', seen, 0, -1)
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local is_on_its_way = {}
for _, id in ipairs(on_their_way) do
  is_on_its_way[id] = true
end
for _, id in ipairs(marks) do
  if not is_on_its_way[id] then
    redis.call('ZREM', seen, id) -- taken or handed back: the next time counts anew
  end
end
local returned = 0
if #on_their_way > 0 then
  redis.call('ZREM', seen, '') -- a removal first: Redis then lets this finish at maxmemory
end
for i = 1, #on_their_way do -- the one that was handed first comes last, to be taken first
  local id = on_their_way[i]
  local since = redis.call('ZSCORE', seen, id)
  if not since then
    redis.call('ZADD', seen, string.format('%.0f', now), id)
  elseif now - since >= grace then
    redis.call('LREM', handoff, -1, id)
    redis.call('ZREM', seen, id)
    redis.call('RPUSH', ids, id)
    returned = returned + 1
  end
end
return returned
