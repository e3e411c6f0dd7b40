-- Replace the item of a job that is not finished; a worker that runs it has the old one.
--
-- KEYS[1] items  hash  id -> item
-- ARGV[1] job_edit_channel  channel  jobs that were edited
-- ARGV[2] id                text     of the job
-- ARGV[3] item              bytes
-- Returns: integer  1
-- Errors: ITEMNOTFOUND
-- Publishes: job_edit_channel id NUL item
local items = KEYS[1]
local job_edit_channel, id, item = ARGV[1], ARGV[2], ARGV[3]

if redis.call('HEXISTS', items, id) == 0 then
  return redis.error_reply('ITEMNOTFOUND')
end
redis.call('HSET', items, id, item)
redis.call('PUBLISH', job_edit_channel, id .. '\0' .. item)
return 1
