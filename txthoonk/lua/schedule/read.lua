-- Give the schedules of a feed, or one.
--
-- KEYS[1] schedules  hash  name -> rule, missed, grace, side and item, divided by NULs
-- KEYS[2] ticks      zset  schedules by when they are due next, milliseconds
-- ARGV[1] names  list  of the schedules; none for all
-- Returns: list  name, when it is due next or empty if it is paused, definition, ...
-- Errors: none
-- Publishes: nothing
local schedules, ticks = KEYS[1], KEYS[2]
local names = ARGV

if #names == 0 then
  names = redis.call('HKEYS', schedules)
  table.sort(names)
end
redis.call('ZCARD', ticks)
local reply = {}
for _, name in ipairs(names) do
  local definition = redis.call('HGET', schedules, name)
  if definition then
    reply[#reply + 1] = name
    reply[#reply + 1] = redis.call('ZSCORE', ticks, name) or ''
    reply[#reply + 1] = definition
  end
end
return reply
