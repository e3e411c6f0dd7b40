-- What became of jobs: for whoever waits for their results.
--
-- KEYS[1] items      hash  id -> item
-- KEYS[2] stalled    set   stalled jobs
-- KEYS[3] published  zset  jobs by when they were put, milliseconds
-- KEYS[4] delayed    zset  delayed jobs by when they are due, milliseconds
-- KEYS[5] results    hash  id -> query and result
-- KEYS[6] due        zset  results by when they are dropped, milliseconds
-- KEYS[7] errors     hash  id -> history of its attempts
-- ARGV[1] jobs  list  ids; at most 1,000
-- Returns: list  for each job: "finished" and query with result, "parked" and its history, "unfinished" and its item, or "gone" and nothing
-- Errors: none
-- Publishes: nothing
local items, stalled, published, delayed = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local results, due, errors = KEYS[5], KEYS[6], KEYS[7]
local jobs = ARGV
local call = redis.call

local time = call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local bodies = call('HMGET', items, unpack(jobs))
local stalls = call('SMISMEMBER', stalled, unpack(jobs))
local puts = call('ZMSCORE', published, unpack(jobs))
local delays = call('ZMSCORE', delayed, unpack(jobs))
local stored = call('HMGET', results, unpack(jobs))
local ends = call('ZMSCORE', due, unpack(jobs))
local histories = call('HMGET', errors, unpack(jobs))
local reply = {}
for i = 1, #jobs do
  if bodies[i] and stalls[i] == 1 and not (puts[i] and delays[i]) then
    reply[#reply + 1] = 'parked'
    reply[#reply + 1] = histories[i] or ''
  elseif bodies[i] then
    reply[#reply + 1] = 'unfinished'
    reply[#reply + 1] = bodies[i]
  elseif stored[i] and tonumber(ends[i] or 0) > now then
    reply[#reply + 1] = 'finished'
    reply[#reply + 1] = stored[i]
  else
    reply[#reply + 1] = 'gone'
    reply[#reply + 1] = ''
  end
end
return reply
