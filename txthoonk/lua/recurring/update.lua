-- Give a recurring task another name; it is due when it was.
--
-- KEYS[1] recurring  zset  tasks by when they are due, milliseconds
-- ARGV[1] task     text  what recurs
-- ARGV[2] instead  text  what recurs from now on
-- Returns: text  when it is due
-- Errors: ITEMNOTFOUND
-- Publishes: nothing
local recurring = KEYS[1]
local task, instead = ARGV[1], ARGV[2]

local score = redis.call('ZSCORE', recurring, task)
if not score then
  return redis.error_reply('ITEMNOTFOUND no such task')
end
redis.call('ZADD', recurring, score, instead)
if task ~= instead then
  redis.call('ZREM', recurring, task)
end
return score
