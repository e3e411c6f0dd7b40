-- Give back claimed jobs as if they had not been claimed: they are the next ones to be taken.
--
-- KEYS[1] claimed  zset  claimed jobs by when they were claimed, milliseconds
-- KEYS[2] ids      list  available jobs, the next one at the right
-- ARGV[1] released  list  ids, in the order they were claimed; of several, what is not claimed is passed over
-- Returns: integer  how many were released
-- Errors: JOBNOTCLAIMED
-- Publishes: nothing
local claimed, ids = KEYS[1], KEYS[2]
local released = ARGV

redis.call('ZCARD', claimed)
redis.call('LLEN', ids)
local count = 0
for i = #released, 1, -1 do
  if redis.call('ZREM', claimed, released[i]) == 1 then
    redis.call('RPUSH', ids, released[i])
    count = count + 1
  end
end
if count == 0 and #released == 1 then
  return redis.error_reply('JOBNOTCLAIMED')
end
return count
