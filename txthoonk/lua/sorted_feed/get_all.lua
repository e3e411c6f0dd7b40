-- All ids and items of a sorted feed, in its order, as of one instant.
--
-- KEYS[1] ids    list  ids in order
-- KEYS[2] items  hash  id -> item
-- Returns: list  id, item or false, ...
-- Errors: none
-- Publishes: nothing
local ids, items = KEYS[1], KEYS[2]

local found = redis.call('LRANGE', ids, 0, -1)
local all = {}
for i = 1, #found, 5000 do
  local some = {unpack(found, i, math.min(i + 4999, #found))}
  local values = redis.call('HMGET', items, unpack(some))
  for j = 1, #some do
    all[#all + 1] = some[j]
    all[#all + 1] = values[j]
  end
end
return all
