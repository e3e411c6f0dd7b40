-- Remove a schedule, or pause it. Jobs that it has put stay.
--
-- KEYS[1] schedules  hash  name -> rule, missed, grace, side and item, divided by NULs
-- KEYS[2] ticks      zset  schedules by when they are due next, milliseconds
-- KEYS[3] scheduled  zset  feeds by when the first of their schedules is due, milliseconds
-- ARGV[1] feed  text     name of the feed
-- ARGV[2] name  text     of the schedule
-- ARGV[3] keep  integer  1: it is only paused
-- Returns: integer  1 if it was there, or was not paused; else 0
-- Errors: ITEMNOTFOUND
-- Publishes: nothing
local schedules, ticks, scheduled = KEYS[1], KEYS[2], KEYS[3]
local feed, name, keep = ARGV[1], ARGV[2], tonumber(ARGV[3])

local is_there = redis.call('HEXISTS', schedules, name) == 1
local is_due = redis.call('ZSCORE', ticks, name)
redis.call('ZCARD', scheduled)
if keep == 1 and not is_there then
  return redis.error_reply('ITEMNOTFOUND no such schedule')
end
redis.call('ZREM', ticks, name)
if keep ~= 1 then
  redis.call('HDEL', schedules, name)
end
local first = redis.call('ZRANGE', ticks, 0, 0, 'WITHSCORES')
if first[2] then
  redis.call('ZADD', scheduled, first[2], feed)
else
  redis.call('ZREM', scheduled, feed)
end
local done = is_there
if keep == 1 then
  done = is_due
end
return done and 1 or 0
