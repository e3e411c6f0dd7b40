-- Look at the schedules of a feed that are due.
--
-- What is noted of the feed in the index of all feeds is put right, where it is not: the feed may
-- have been deleted, and created again, since. Schedules of a feed that does not exist go.
--
-- KEYS[1] config     hash  options of the feed
-- KEYS[2] schedules  hash  name -> rule, missed, grace, side and item, divided by NULs
-- KEYS[3] ticks      zset  schedules by when they are due next, milliseconds
-- KEYS[4] scheduled  zset  feeds by when the first of their schedules is due, milliseconds
-- ARGV[1] feed  text     name of the feed
-- ARGV[2] most  integer  how many schedules are looked at
-- Returns: list  the time, milliseconds; milliseconds until one that is not due yet is, or -1; name, when it is due, rule, missed, grace of each that is
-- Errors: none
-- Publishes: nothing
local config, schedules, ticks, scheduled = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local feed, most = ARGV[1], tonumber(ARGV[2])
local call = redis.call

local is_there = call('HEXISTS', config, 'type') == 1
local first = call('ZRANGE', ticks, 0, 0, 'WITHSCORES')[2]
local noted = call('ZSCORE', scheduled, feed)
local any = call('HLEN', schedules) > 0
local time = call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
if not is_there then
  if first or any then
    call('DEL', schedules, ticks)
  end
  first = nil
end
if noted and not first then
  call('ZREM', scheduled, feed)
elseif first and noted ~= first then
  call('ZREM', scheduled, '') -- a removal first: Redis then lets this finish at maxmemory
  call('ZADD', scheduled, first, feed)
end
if not first then
  return {now, -1}
end
local text = string.format('%.0f', now)
local later = call('ZRANGEBYSCORE', ticks, '(' .. text, '+inf', 'WITHSCORES', 'LIMIT', 0, 1)
local reply = {now, later[2] and tonumber(later[2]) - now or -1}
local due = call('ZRANGEBYSCORE', ticks, '-inf', text, 'WITHSCORES', 'LIMIT', 0, most)
for i = 1, #due, 2 do
  local definition = call('HGET', schedules, due[i])
  local rule, missed, grace = string.match(
    definition or '', '^([^%z]*)%z([^%z]*)%z([^%z]*)%z')
  for _, value in ipairs({due[i], due[i + 1], rule or '', missed or '', grace or ''}) do
    reply[#reply + 1] = value
  end
end
return reply
