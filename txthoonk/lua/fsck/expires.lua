-- Look for what is wrong with the notes of when items of a feed are over; repair that if asked.
--
-- A note that holds no longer is no fault: whoever looks when its time has come drops it.
--
-- KEYS[1] expires   zset  score in ids, NUL, id by when the time of the item is over, milliseconds
-- KEYS[2] expiring  zset  feeds by when the first of their items is over, milliseconds
-- ARGV[1] repair  integer  1: repair what is a fault
-- ARGV[2] mark    text     what the look before answered, or empty
-- ARGV[3] feed    text     name of the feed
-- Returns: list  empty, mark, kind, detail, 1 if it was repaired
-- Errors: none
-- Publishes: nothing
local expires, expiring = KEYS[1], KEYS[2]
local repair, mark, feed = ARGV[1], ARGV[2], ARGV[3]
local call = redis.call

local first = call('ZRANGE', expires, 0, 0, 'WITHSCORES')[2]
local noted = call('ZSCORE', expiring, feed)
if not first or noted and tonumber(noted) <= tonumber(first) then
  return {} -- too early is put right by whoever looks then
end
local fix = repair == '1' and mark ~= ''
if fix then
  call('ZREM', expiring, '') -- a removal first: Redis then lets this finish at maxmemory
  call('ZADD', expiring, first, feed)
end
return {'', 'late', 'unscheduled', 'in ' .. expiring .. ' it is due too late, or never', fix and 1 or 0}
