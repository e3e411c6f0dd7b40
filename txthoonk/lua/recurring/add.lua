-- Add a recurring task, due at once; one that is there stays as it is.
--
-- KEYS[1] recurring  zset  tasks by when they are due, milliseconds
-- ARGV[1] task  text          what recurs
-- ARGV[2] now   milliseconds  when it is due; empty for Redis's own time
-- Returns: list  1 if it was added, 0 if it was there; when it is due
-- Errors: none
-- Publishes: nothing
local recurring = KEYS[1]
local task, now = ARGV[1], tonumber(ARGV[2])

local score = redis.call('ZSCORE', recurring, task)
if score then
  return {0, score}
end
if not now then
  local time = redis.call('TIME')
  now = time[1] * 1000 + math.floor(time[2] / 1000)
end
redis.call('ZADD', recurring, string.format('%.0f', now), task)
return {1, string.format('%.0f', now)}
