-- Take the recurring task that is due first, and let it be due again after the timeout.
--
-- Times are compared as numbers; those that thoonk.js's branch `scripting` compares, as strings,
-- are right only while they have as many digits as the time of now.
--
-- KEYS[1] recurring         zset  tasks by when they are due, milliseconds
-- KEYS[2] recurring_config  hash  options: timeout, milliseconds
-- ARGV[1] now  milliseconds  what time it is; empty for Redis's own time
-- Returns: list  task, when it was due; empty, when the first one is due; or nothing if there is none
-- Errors: FEEDNOTFOUND
-- Publishes: nothing
local recurring, recurring_config = KEYS[1], KEYS[2]
local now = tonumber(ARGV[1])

local timeout = tonumber(redis.call('HGET', recurring_config, 'timeout') or '')
local first = redis.call('ZRANGE', recurring, 0, 0, 'WITHSCORES')
if not timeout then
  return redis.error_reply('FEEDNOTFOUND its recurring tasks have no timeout')
end
if not first[1] then
  return {}
end
if not now then
  local time = redis.call('TIME')
  now = time[1] * 1000 + math.floor(time[2] / 1000)
end
if tonumber(first[2]) > now then
  return {'', first[2]}
end
redis.call('ZADD', recurring, string.format('%.0f', now + timeout), first[1])
return {first[1], first[2]}
