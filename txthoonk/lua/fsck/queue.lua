-- Look at suspects of a queue, ids and items without the other or twice; repair them if asked.
--
-- Of an id that is there twice stays the one that is on its way, or is taken first. As with
-- config.lua, what is the same at two looks is a fault: a peer pops an id before it takes the item.
-- A mark that maintenance has not looked at again for a minute is left behind.
--
-- KEYS[1] ids      list  ids, the next one to be taken at the right
-- KEYS[2] handoff  list  ids on their way to a get
-- KEYS[3] items    hash  id -> item
-- KEYS[4] seen     zset  ids that maintenance has seen on their way
-- ARGV[1] repair    integer  1: repair what is a fault
-- ARGV[2] suspects  triples  id, how often it was seen in lists, what the look before answered or empty, ...
-- Returns: list  id, mark, kind, detail, 1 if it was repaired, ...
-- Errors: none
-- Publishes: nothing
local ids, handoff, items, seen = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local repair, suspects = ARGV[1], {unpack(ARGV, 2)}

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

local function count(list, id, times)
  if times > 1 then
    return #redis.call('LPOS', list, id, 'COUNT', 0)
  end
  return redis.call('LPOS', list, id) and 1 or 0
end

local reply, fixes = {}, {}
redis.call('LLEN', ids)
redis.call('LLEN', handoff)
redis.call('HLEN', items)
redis.call('ZCARD', seen)
for i = 1, #suspects, 3 do
  local id, times, mark = suspects[i], tonumber(suspects[i + 1]), suspects[i + 2]
  local stored = redis.call('HEXISTS', items, id) == 1
  local marked = redis.call('ZSCORE', seen, id)
  local waits, handed = count(ids, id, times), count(handoff, id, times)
  local kind, detail
  if not stored and waits + handed > 0 then
    kind, detail = 'no item', 'in ' .. (waits > 0 and ids or handoff) .. ', without an item'
  elseif not stored and marked and now - tonumber(marked) > 60000 then
    kind, detail = 'leftover', 'without an item, left in ' .. seen
  elseif stored and waits + handed == 0 then
    kind, detail = 'no id', 'an item that is not in ' .. ids
  elseif waits + handed > 1 then
    kind, detail = 'twice', waits .. ' times in ' .. ids .. ', ' .. handed .. ' in ' .. handoff
  end
  local now = table.concat({waits, handed, stored and 'item' or 'none'}, ' ')
  if kind and (mark == '' or mark == now) then
    local fix = repair == '1' and mark == now
    if fix then
      fixes[#fixes + 1] = {id, kind == 'twice', waits, handed}
    end
    for _, value in ipairs({id, now, kind, detail, fix and 1 or 0}) do
      reply[#reply + 1] = value
    end
  end
end
for _, fix in ipairs(fixes) do
  local id, twice, waits, handed = unpack(fix)
  if not twice then
    redis.call('LREM', ids, 0, id)
    redis.call('LREM', handoff, 0, id)
    redis.call('HDEL', items, id)
    redis.call('ZREM', seen, id)
  else
    local few = handed > 0 and waits or waits - 1
    if few > 0 then -- from the left: the next to be taken is at the right
      redis.call('LREM', ids, few, id)
    end
    if handed > 1 then
      redis.call('LREM', handoff, handed - 1, id)
    end
  end
end
return reply
