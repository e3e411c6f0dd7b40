-- Look at suspects of a sorted feed, ids and items without the other or twice; repair if asked.
--
-- Of an id that is there twice the first place stays; the revision of an item that another program
-- has taken out is dropped. As with config.lua, what is the same at two looks is a fault.
--
-- KEYS[1] ids        list  ids in order
-- KEYS[2] items      hash  id -> item
-- KEYS[3] revisions  hash  id -> revision
-- ARGV[1] retract_channel  channel  ids that were dropped
-- ARGV[2] repair           integer  1: repair what is a fault
-- ARGV[3] suspects         triples  id, how often it was seen in the list, what the look before answered or empty, ...
-- Returns: list  id, mark, kind, detail, 1 if it was repaired, ...
-- Errors: none
-- Publishes: retract_channel id
local ids, items, revisions = KEYS[1], KEYS[2], KEYS[3]
local retract_channel, repair, suspects = ARGV[1], ARGV[2], {unpack(ARGV, 3)}

local reply, fixes = {}, {}
redis.call('HLEN', items)
redis.call('LLEN', ids)
redis.call('HLEN', revisions)
for i = 1, #suspects, 3 do
  local id, seen, mark = suspects[i], tonumber(suspects[i + 1]), suspects[i + 2]
  local stored = redis.call('HEXISTS', items, id) == 1
  local places
  if seen > 1 then
    places = #redis.call('LPOS', ids, id, 'COUNT', 0)
  else
    places = redis.call('LPOS', ids, id) and 1 or 0
  end
  local kind, detail
  if places > 0 and not stored then
    kind, detail = 'no item', 'in ' .. ids .. ', without an item'
  elseif stored and places == 0 then
    kind, detail = 'no id', 'an item that is not in ' .. ids
  elseif places > 1 then
    kind, detail = 'twice', places .. ' times in ' .. ids
  elseif not stored and redis.call('HEXISTS', revisions, id) == 1 then
    kind, detail = 'leftover', 'in ' .. revisions .. ', without an item'
  end
  local now = places .. (stored and ' item' or '')
  if kind and (mark == '' or mark == now) then
    local fix = repair == '1' and mark == now
    if fix then
      fixes[#fixes + 1] = {id, kind == 'twice' and places - 1, kind == 'leftover'}
    end
    for _, value in ipairs({id, now, kind, detail, fix and 1 or 0}) do
      reply[#reply + 1] = value
    end
  end
end
for _, fix in ipairs(fixes) do
  local id, too_many, just_revision = fix[1], fix[2], fix[3]
  if too_many then
    redis.call('LREM', ids, -too_many, id)
  else
    redis.call('HDEL', revisions, id)
    if not just_revision then
      redis.call('LREM', ids, 0, id)
      redis.call('HDEL', items, id)
      redis.call('PUBLISH', retract_channel, id)
    end
  end
end
return reply
