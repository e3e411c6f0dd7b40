-- Fire a tick: put its job and move the schedule on to the next one, both or neither.
--
-- Many may try the same tick. The one that finds the schedule due when the caller saw it due, by
-- the rule that he saw, has it; there is nothing left of it for the others. The id of the job is
-- the schedule's name, "@", and the time of the tick: one that is there already, or has a result,
-- is not put a second time.
--
-- KEYS[1] config     hash    options of the feed
-- KEYS[2] schedules  hash    name -> rule, missed, grace, side and item, divided by NULs
-- KEYS[3] ticks      zset    schedules by when they are due next, milliseconds
-- KEYS[4] scheduled  zset    feeds by when the first of their schedules is due, milliseconds
-- KEYS[5] ids        list    available jobs, the next one at the right
-- KEYS[6] items      hash    id -> item
-- KEYS[7] publishes  string  counter of puts
-- KEYS[8] published  zset    jobs by when they were put, milliseconds
-- KEYS[9] claimed    zset    claimed jobs
-- KEYS[10] stalled   set     stalled jobs
-- KEYS[11] results   hash    id -> query and result
-- ARGV[1] put_channel  channel       jobs that were put
-- ARGV[2] feed         text          name of the feed
-- ARGV[3] name         text          of the schedule
-- ARGV[4] rule         text          by which the caller knows when it is due after this
-- ARGV[5] expected     milliseconds  when it is due, as the caller knows
-- ARGV[6] fire         milliseconds  the tick to put a job for; 0 for none
-- ARGV[7] next         milliseconds  when it is due then
-- Returns: integer  1 if a job was put, 0 if only the schedule has moved on; -1 somebody was here before, -2 it is not time yet
-- Errors: FEEDNOTFOUND
-- Publishes: put_channel id NUL item
local config, schedules, ticks, scheduled = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local ids, items, publishes, published = KEYS[5], KEYS[6], KEYS[7], KEYS[8]
local claimed, stalled, results = KEYS[9], KEYS[10], KEYS[11]
local put_channel, feed, name, rule = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local expected, fire, next = tonumber(ARGV[5]), tonumber(ARGV[6]), tonumber(ARGV[7])
local call = redis.call

local options = call('HMGET', config, 'type', 'announce')
if not options[1] then
  return redis.error_reply('FEEDNOTFOUND')
end
local definition = call('HGET', schedules, name)
local due = tonumber(call('ZSCORE', ticks, name) or '')
local is_rule, side, item = string.match(
  definition or '', '^([^%z]*)%z[^%z]*%z[^%z]*%z([^%z]*)%z(.*)$')
if due ~= expected or is_rule ~= rule then
  return -1
end
local time = call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
if expected > now or fire > now or next <= math.max(expected, fire) then
  return -2
end
local id = name .. '@' .. string.format('%.0f', fire)
call('ZCARD', scheduled)
call('LLEN', ids)
local is_there = call('HEXISTS', items, id) == 1
is_there = call('ZSCORE', published, id) or is_there
is_there = call('ZSCORE', claimed, id) or is_there
is_there = call('SISMEMBER', stalled, id) == 1 or is_there
is_there = call('HEXISTS', results, id) == 1 or is_there
local puts = fire > 0 and not is_there
call('INCR', publishes) -- before all else: it fails where there is no counter
if not puts then
  call('DECR', publishes)
end
call('ZADD', ticks, string.format('%.0f', next), name)
call('ZADD', scheduled, call('ZRANGE', ticks, 0, 0, 'WITHSCORES')[2], feed)
if not puts then
  return 0
end
call('HSET', items, id, item)
call('ZADD', published, string.format('%.0f', now), id)
call(side == 'RPUSH' and 'RPUSH' or 'LPUSH', ids, id)
if options[2] ~= '0' then
  call('PUBLISH', put_channel, id .. '\0' .. item)
end
return 1
