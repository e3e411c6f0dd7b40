-- Ids of parked jobs, some at a time: those that are stalled, and not just until they are due.
--
-- A delayed job that a peer has stalled is parked too: it is no longer published.
--
-- KEYS[1] stalled    set   stalled jobs
-- KEYS[2] delayed    zset  delayed jobs by when they are due, milliseconds
-- KEYS[3] published  zset  jobs by when they were put, milliseconds
-- ARGV[1] cursor  integer  where to go on; 0 to begin
-- ARGV[2] most    integer  about how many are looked at
-- Returns: list  the cursor for the next call, 0 at the end, and ids; one may come twice
-- Errors: none
-- Publishes: nothing
local stalled, delayed, published = KEYS[1], KEYS[2], KEYS[3]
local cursor, most = ARGV[1], ARGV[2]
local call = redis.call

local found = call('SSCAN', stalled, cursor, 'COUNT', most)
local ids, reply = found[2], {found[1]}
call('ZCARD', delayed)
call('ZCARD', published)
if #ids > 0 then
  local later = call('ZMSCORE', delayed, unpack(ids))
  local puts = call('ZMSCORE', published, unpack(ids))
  for i, id in ipairs(ids) do
    if not (later[i] and puts[i]) then
      reply[#reply + 1] = id
    end
  end
end
return reply
