-- Look at suspects of a feed, ids without an item and items without an id; repair them if asked.
--
-- Nobody can see such an item in its feed, so it is dropped; so is the revision of an item that
-- another program has taken out. As with config.lua, what is the same at two looks is a fault.
--
-- KEYS[1] ids        zset  ids by time
-- KEYS[2] items      hash  id -> item
-- KEYS[3] revisions  hash  id -> revision
-- ARGV[1] retract_channel  channel  ids that were dropped
-- ARGV[2] repair           integer  1: repair what is a fault
-- ARGV[3] suspects         triples  id, any number, what the look before answered or empty, ...
-- Returns: list  id, mark, kind, detail, 1 if it was repaired, ...
-- Errors: none
-- Publishes: retract_channel id
local ids, items, revisions = KEYS[1], KEYS[2], KEYS[3]
local retract_channel, repair, suspects = ARGV[1], ARGV[2], {unpack(ARGV, 3)}

local reply, dropped, forgotten = {}, {}, {}
redis.call('HLEN', items)
redis.call('ZCARD', ids)
redis.call('HLEN', revisions)
for i = 1, #suspects, 3 do
  local id, mark = suspects[i], suspects[i + 2]
  local placed = redis.call('ZSCORE', ids, id)
  local stored = redis.call('HEXISTS', items, id) == 1
  local kind, detail, now
  if placed and not stored then
    kind, detail, now = 'no item', 'in ' .. ids .. ', without an item', 'id ' .. placed
  elseif stored and not placed then
    kind, detail, now = 'no id', 'an item that is not in ' .. ids, 'item'
  elseif not stored and redis.call('HEXISTS', revisions, id) == 1 then
    kind, detail, now = 'leftover', 'in ' .. revisions .. ', without an item', 'revision'
  end
  if kind and (mark == '' or mark == now) then
    local fix = repair == '1' and mark == now
    if fix then
      local list = kind == 'leftover' and forgotten or dropped
      list[#list + 1] = id
    end
    for _, value in ipairs({id, now, kind, detail, fix and 1 or 0}) do
      reply[#reply + 1] = value
    end
  end
end
for _, id in ipairs(dropped) do
  redis.call('ZREM', ids, id)
  redis.call('HDEL', items, id)
  redis.call('HDEL', revisions, id)
  redis.call('PUBLISH', retract_channel, id)
end
for _, id in ipairs(forgotten) do
  redis.call('HDEL', revisions, id)
end
return reply
