-- Put several new jobs at once, all or none.
--
-- KEYS[1] config     hash    options of the feed
-- KEYS[2] ids        list    available jobs, the next one at the right
-- KEYS[3] items      hash    id -> item
-- KEYS[4] publishes  string  counter of puts
-- KEYS[5] published  zset    jobs by when they were put, milliseconds
-- ARGV[1] put_channel  channel  jobs that were put
-- ARGV[2] side         text     "LPUSH": behind the others; "RPUSH": before them
-- ARGV[3] jobs         pairs    id, item, ... of at most 2,000 jobs
-- Returns: integer  how many
-- Errors: FEEDNOTFOUND
-- Publishes: put_channel id NUL item
local config, ids, items, publishes, published = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local put_channel, side, first = ARGV[1], ARGV[2], 3
local jobs = ARGV
local call = redis.call

local options = call('HMGET', config, 'type', 'announce')
if not options[1] then
  return redis.error_reply('FEEDNOTFOUND')
end
call('LLEN', ids)
call('HLEN', items)
call('ZCARD', published)
local time = call('TIME')
local now = string.format('%.0f', time[1] * 1000 + math.floor(time[2] / 1000))
local new, scored = {}, {}
for i = first, #jobs, 2 do
  new[#new + 1] = jobs[i]
  scored[#scored + 1] = now
  scored[#scored + 1] = jobs[i]
end
call('INCRBY', publishes, #new)
call('HSET', items, unpack(jobs, first))
call(side, ids, unpack(new))
call('ZADD', published, unpack(scored))
if options[2] ~= '0' then
  for i = first, #jobs, 2 do
    call('PUBLISH', put_channel, jobs[i] .. '\0' .. jobs[i + 1])
  end
end
return #new
