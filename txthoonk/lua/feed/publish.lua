-- Publish an item, or edit the one of that id; then evict what is too many.
--
-- A new id leaves exactly max_length items, an edit evicts nothing. Scores are the time of
-- Redis, never at or below the last one while that is less than a day ahead, so that items
-- published together keep their order. Each evicted item is a change of its own, before this one.
--
-- The first write fails alone if it fails; the second is undone if it does; ids is read before.
--
-- KEYS[1] config     hash    options of the feed
-- KEYS[2] ids        zset    ids by time
-- KEYS[3] items      hash    id -> item
-- KEYS[4] publishes  string  counter of publishes and edits
-- KEYS[5] revision   hash    epoch, revision and digest of the feed
-- KEYS[6] revisions  any     hash: id -> revision; anything else there is replaced
-- KEYS[7] history    any     stream of events; anything else there is replaced
-- ARGV[1] event_channel    channel  changes
-- ARGV[2] under_channel    channel  changes, for those who follow patterns
-- ARGV[3] publish_channel  channel  new items
-- ARGV[4] edit_channel     channel  edited items
-- ARGV[5] retract_channel  channel  evicted items
-- ARGV[6] id               text     of the item
-- ARGV[7] item             bytes
-- ARGV[8] if_revision      integer  of the feed or the item, else nothing is done; may be missing
-- Returns: integer  the revision
-- Errors: FEEDNOTFOUND, CONFLICT
-- Publishes: event_channel change; under_channel event_channel NUL change; retract_channel id; publish_channel id NUL item; edit_channel id NUL item
local config, ids, items, publishes, revision, revisions, history = unpack(KEYS)
local event_channel, under_channel, publish_channel, edit_channel, retract_channel, id, item, if_revision = unpack(ARGV)
local call = redis.call

local size = call('HLEN', config)
local limit, clock, kept = 0, nil, '1000'
if size > 1 then -- with one there is just its type
  local options = call('HMGET', config, 'type', 'max_length', 'clock', 'history')
  size = options[1] and size or 0
  if options[2] and string.match(options[2], '^%d+$') then
    limit = options[2] + 0
  end
  clock, kept = options[3], string.match(options[4] or '', '^0*(%d+)$')
  if not kept or #kept > 13 then
    kept = limit > 0 and math.min(2 * limit, 1e12) .. '' or '1000'
  end
end
if size == 0 then
  return redis.error_reply('FEEDNOTFOUND')
end

-- As text: string.format would cost as much as a command.
local time = call('TIME')
local fraction = time[2]
if #fraction < 6 then
  fraction = string.rep('0', 6 - #fraction) .. fraction
end
-- Milliseconds, the contract's unit; or seconds.
local score = time[1] .. fraction .. (clock == 's' and 'e-6' or 'e-3')
local last_of_all = true
if call('ZCOUNT', ids, score, '+inf') > 0 then
  local last = tonumber(call('ZREVRANGE', ids, 0, 0, 'WITHSCORES')[2])
  local day, tick, form = 86400000, 0.001, '%.3f'
  if clock == 's' then
    day, tick, form = 86400, 0.000001, '%.6f'
  end
  if last - score < day then
    score = string.format(form, last + tick)
  else
    last_of_all = false
  end
end
-- include change
-- include conflict
local refused = if_revision and conflict(if_revision, id)
if refused then
  return refused
end

local count = call('INCR', publishes)
local stored = redis.pcall('HSET', items, id, item)
if type(stored) == 'table' then
  if count == 1 then
    call('DEL', publishes)
  else
    call('DECR', publishes)
  end
  return stored
end
local new = call('ZADD', ids, score, id) == 1
local excess = new and limit > 0 and call('ZCARD', ids) - limit or 0
while excess > 0 do
  local evicted = call('ZRANGE', ids, 0, math.min(excess, 5000))
  for i = #evicted, 1, -1 do
    -- With the clocks of several programs the new id may be the lowest: it is spared.
    if evicted[i] == id then
      table.remove(evicted, i)
    end
  end
  evicted[math.min(excess, 5000) + 1] = nil
  call('ZREM', ids, unpack(evicted))
  call('HDEL', items, unpack(evicted))
  for _, gone in ipairs(evicted) do
    change('retract', '', gone, 0)
    call('PUBLISH', retract_channel, gone)
  end
  forget(unpack(evicted))
  excess = excess - #evicted
end
local position = ''
if not last_of_all then
  local rank = call('ZRANK', ids, id)
  local beside = call('ZRANGE', ids, math.max(rank - 1, 0), rank + 1)
  position = rank > 0 and beside[1] .. ':' or 'begin:'
  if position == 'begin:' and rank > 0 then
    position = beside[3] and ':' .. beside[3] or '' -- that item's name is begin
  end
end
local rest = id .. '\0' .. item
change(new and 'publish' or 'edit', position, rest, count)
keep(id)
if new then
  call('PUBLISH', publish_channel, rest)
else
  call('PUBLISH', edit_channel, rest)
end
return number + 0
