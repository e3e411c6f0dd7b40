-- Let a paused schedule go on. What would have been due meanwhile was not wanted.
--
-- When it is due next is known by its rule: as in `set`, a call without a time, or with one that was
-- over ten seconds ago, or by another rule, is told the time and the rule.
--
-- KEYS[1] schedules  hash  name -> rule, missed, grace, side and item, divided by NULs
-- KEYS[2] ticks      zset  schedules by when they are due next, milliseconds
-- KEYS[3] scheduled  zset  feeds by when the first of their schedules is due, milliseconds
-- ARGV[1] feed  text          name of the feed
-- ARGV[2] name  text          of the schedule
-- ARGV[3] rule  text          by which it is due then
-- ARGV[4] due   milliseconds  when it is due; 0 to be told the time
-- Returns: list  1, when it is due next; or 0, the time in milliseconds, the rule
-- Errors: ITEMNOTFOUND
-- Publishes: nothing
local schedules, ticks, scheduled = KEYS[1], KEYS[2], KEYS[3]
local feed, name, rule, due = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4])

local definition = redis.call('HGET', schedules, name)
local is_due = redis.call('ZSCORE', ticks, name)
redis.call('ZCARD', scheduled)
if not definition then
  return redis.error_reply('ITEMNOTFOUND no such schedule')
end
if is_due then
  return {1, tonumber(is_due)}
end
local is_rule = string.match(definition, '^([^%z]*)%z') or ''
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
if rule ~= is_rule or due <= now - 10000 then
  return {0, now, is_rule}
end
redis.call('ZADD', ticks, string.format('%.0f', due), name)
redis.call('ZADD', scheduled, redis.call('ZRANGE', ticks, 0, 0, 'WITHSCORES')[2], feed)
return {1, due}
