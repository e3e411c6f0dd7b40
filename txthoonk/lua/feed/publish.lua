-- Publish an item, or edit the one of that id; then evict what is too many.
--
-- A new id leaves exactly max_length items, an edit evicts nothing. Scores are the time of
-- Redis, never at or below the last one while that is less than a day ahead, so that items
-- published together keep their order.
--
-- The first write fails alone if it fails; the second is undone if it does; ids is read before.
--
-- KEYS[1] config     hash    options of the feed
-- KEYS[2] ids        zset    ids by time
-- KEYS[3] items      hash    id -> item
-- KEYS[4] publishes  string  counter of publishes and edits
-- ARGV[1] publish_channel  channel  new items
-- ARGV[2] edit_channel     channel  edited items
-- ARGV[3] retract_channel  channel  evicted items
-- ARGV[4] id               text     of the item
-- ARGV[5] item             bytes
-- Returns: integer  1 if it is new, 0 if it was edited
-- Errors: FEEDNOTFOUND
-- Publishes: retract_channel id; publish_channel id NUL item; edit_channel id NUL item
local config, ids, items, publishes = unpack(KEYS)
local publish_channel, edit_channel, retract_channel, id, item = unpack(ARGV)
local call = redis.call

local size = call('HLEN', config)
local max_length, clock
if size > 1 then -- with one there is just its type
  local options = call('HMGET', config, 'type', 'max_length', 'clock')
  size = options[1] and size or 0
  max_length, clock = options[2], options[3]
end
if size == 0 then
  return redis.error_reply('FEEDNOTFOUND')
end

-- As text: string.format would cost as much as a command.
local time = call('TIME')
local micros = time[2]
if #micros < 6 then
  micros = string.rep('0', 6 - #micros) .. micros
end
-- Milliseconds, the contract's unit; or seconds.
local score = time[1] .. micros .. (clock == 's' and 'e-6' or 'e-3')
if call('ZCOUNT', ids, score, '+inf') > 0 then
  local last = tonumber(call('ZREVRANGE', ids, 0, 0, 'WITHSCORES')[2])
  local day, tick, form = 86400000, 0.001, '%.3f'
  if clock == 's' then
    day, tick, form = 86400, 0.000001, '%.6f'
  end
  if last - score < day then
    score = string.format(form, last + tick)
  end
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
if call('ZADD', ids, score, id) == 0 then
  call('PUBLISH', edit_channel, id .. '\0' .. item)
  return 0
end

if max_length and string.match(max_length, '^%d+$') and max_length + 0 > 0 then
  local excess = call('ZCARD', ids) - max_length
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
      call('PUBLISH', retract_channel, gone)
    end
    excess = excess - #evicted
  end
end
call('PUBLISH', publish_channel, id .. '\0' .. item)
return 1
