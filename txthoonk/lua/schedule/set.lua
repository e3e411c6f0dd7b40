-- Set a schedule. One that is there with the same rule goes on as it was: only the rest is new.
--
-- When a new one, or one with another rule, is due first is known by the rule. Redis's clock is the
-- only one, so a first call brings no time and is told what time it is; a call that brings a time
-- which was over ten seconds ago is told so again. A paused one stays paused, whatever is set.
--
-- KEYS[1] config     hash  options of the feed
-- KEYS[2] schedules  hash  name -> rule, missed, grace, side and item, divided by NULs
-- KEYS[3] ticks      zset  schedules by when they are due next, milliseconds
-- KEYS[4] scheduled  zset  feeds by when the first of their schedules is due, milliseconds
-- ARGV[1] feed        text          name of the feed
-- ARGV[2] name        text          of the schedule
-- ARGV[3] rule        text          when it is due
-- ARGV[4] due         milliseconds  when it is due first; 0 to be told the time
-- ARGV[5] definition  bytes         what is stored: the rule and all the rest
-- Returns: list  1 if it is set, when it is due next or 0 if it is paused; or 0, the time in milliseconds
-- Errors: FEEDNOTFOUND
-- Publishes: nothing
local config, schedules, ticks, scheduled = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local feed, name, rule, due = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4])
local definition = ARGV[5]

if not redis.call('HGET', config, 'type') then
  return redis.error_reply('FEEDNOTFOUND')
end
local before = redis.call('HGET', schedules, name)
local is_due = redis.call('ZSCORE', ticks, name)
redis.call('ZCARD', scheduled)
local same = before and string.match(before, '^([^%z]*)%z') == rule
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
if before and not is_due then
  due = 0
elseif same then
  due = tonumber(is_due)
elseif due <= now - 10000 then
  return {0, now}
end
redis.call('HSET', schedules, name, definition)
if due > 0 and not same then
  redis.call('ZADD', ticks, string.format('%.0f', due), name)
end
local first = redis.call('ZRANGE', ticks, 0, 0, 'WITHSCORES')
if first[2] then
  redis.call('ZADD', scheduled, first[2], feed)
end
return {1, due}
