-- See what maintenance has to do, and mark the claims of peers where they too are to expire.
--
-- A peer's claim has no lease of ours, or one about another claim. Its time counts from when it
-- was first seen here.
--
-- KEYS[1] config   hash  options of the feed
-- KEYS[2] claimed  zset  claimed jobs by when they were claimed, milliseconds
-- KEYS[3] lease    hash  id -> token, claimed score, end of the lease
-- KEYS[4] items    hash  id -> item
-- KEYS[5] ids      list  available jobs
-- KEYS[6] handoff  list  ids on their way to a claim
-- KEYS[7] stalled  set   stalled jobs
-- KEYS[8] lost     zset  ids that maintenance has seen in no state
-- KEYS[9] seen     zset  ids that maintenance has seen on their way
-- ARGV[1] start  integer  how many claims to pass over, from the oldest
-- ARGV[2] most   integer  how many to look at
-- Returns: list  items in no state, ids on their way or seen so, claims looked at, id, token, ... of expired claims
-- Errors: none
-- Publishes: nothing
local config, claimed, lease, items = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local ids, handoff, stalled, lost, seen = KEYS[5], KEYS[6], KEYS[7], KEYS[8], KEYS[9]
local start, most = tonumber(ARGV[1]), tonumber(ARGV[2])
local call = redis.call

local patience = tonumber(call('HGET', config, 'peer_timeout') or '')
local time = call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local on_their_way = call('LLEN', handoff)
local stateless = call('HLEN', items) - call('LLEN', ids) - on_their_way
  - call('ZCARD', claimed) - call('SCARD', stalled)
if call('ZCARD', lost) > 0 then
  stateless = math.max(stateless, 1)
end
local claims = call('ZRANGE', claimed, start, start + most - 1, 'WITHSCORES')
local reply, marks, names = {stateless, on_their_way + call('ZCARD', seen), #claims / 2}, {}, {}
for i = 1, #claims, 2 do
  names[#names + 1] = claims[i]
end
local leases = #names > 0 and call('HMGET', lease, unpack(names)) or call('HLEN', lease)
for i, id in ipairs(names) do
  local score = claims[2 * i]
  local token, about, ends = string.match(leases[i] or '', '^([^ ]*) ([^ ]*) (%d+)$')
  if about ~= score then
    if patience and patience > 0 then
      marks[#marks + 1] = id
      marks[#marks + 1] = ' ' .. score .. string.format(' %.0f', now + patience * 1000)
    end
  elseif tonumber(ends) <= now then
    reply[#reply + 1] = id
    reply[#reply + 1] = token
  end
end
if #marks > 0 then
  call('HDEL', lease, '') -- a removal first: Redis then lets this finish at maxmemory
  call('HSET', lease, unpack(marks))
end
return reply
