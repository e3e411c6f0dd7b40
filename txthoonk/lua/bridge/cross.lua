-- Bring available jobs to the other dialect, under the same ids.
--
-- At their origin they are claimed from now on, by a lease that ends only when somebody says what has
-- become of them: see settle. What was brought here from there is not brought back as if it were
-- new. An id that is in use there already stays where it is.
--
-- Items that are an object or an array of JSON cross as they are; any other text is a JSON string in
-- dialect lua, and a JSON string of that dialect is its text in the contract's.
--
-- KEYS[1] origin_config     hash    options of the feed they come from
-- KEYS[2] origin_ids        list    available jobs there, the next one at the right
-- KEYS[3] origin_items      hash    id -> item
-- KEYS[4] origin_claimed    zset    claimed jobs by when they were claimed, milliseconds
-- KEYS[5] origin_cancelled  hash    id -> how often it was cancelled
-- KEYS[6] origin_stalled    set     stalled jobs
-- KEYS[7] origin_lease      hash    id -> token, claimed score, end of the lease
-- KEYS[8] origin_bridged    hash    jobs that were brought there
-- KEYS[9] config            hash    options of the feed they come to
-- KEYS[10] ids              list    available jobs here, the next one at the right
-- KEYS[11] items            hash    id -> item
-- KEYS[12] publishes        string  counter of puts
-- KEYS[13] published        zset    jobs by when they were put, milliseconds
-- KEYS[14] claimed          zset    claimed jobs by when they were claimed, milliseconds
-- KEYS[15] cancelled        hash    id -> how often it was cancelled
-- KEYS[16] stalled          set     stalled jobs
-- KEYS[17] results          hash    id -> query and result
-- KEYS[18] bridged          hash    jobs that were brought here -> claimed score at their origin
-- ARGV[1] origin_claim_channel  channel  jobs that were claimed
-- ARGV[2] put_channel           channel  jobs that were put
-- ARGV[3] token                 text     of bridges to this side
-- ARGV[4] json                  integer  1: items become JSON; 0: they become text
-- ARGV[5] count                 integer  how many at the most
-- ARGV[6] ahead                 integer  how many jobs may be available here then
-- Returns: list  ids that were brought
-- Errors: FEEDNOTFOUND
-- Publishes: origin_claim_channel id; put_channel id NUL item
local origin_config, origin_ids, origin_items, origin_claimed = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local origin_cancelled, origin_stalled, origin_lease, origin_bridged = KEYS[5], KEYS[6], KEYS[7], KEYS[8]
local config, ids, items, publishes, published = KEYS[9], KEYS[10], KEYS[11], KEYS[12], KEYS[13]
local claimed, cancelled, stalled, results, bridged = KEYS[14], KEYS[15], KEYS[16], KEYS[17], KEYS[18]
local origin_claim_channel, put_channel, token, json = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local count, ahead = tonumber(ARGV[5]), tonumber(ARGV[6])
local call = redis.call

local origin_options = call('HMGET', origin_config, 'type', 'announce')
local options = call('HMGET', config, 'type', 'announce')
if not origin_options[1] or not options[1] then
  return redis.error_reply('FEEDNOTFOUND')
end
local room = math.min(count, ahead - call('LLEN', ids))
local candidates = call('LRANGE', origin_ids, -math.max(1, room) - 500, -1)
call('HLEN', origin_lease)
call('HLEN', results)
call('ZCARD', published)
if room <= 0 or #candidates == 0 then
  return {}
end
local bodies = call('HMGET', origin_items, unpack(candidates))
local claims = call('ZMSCORE', origin_claimed, unpack(candidates))
local stalls = call('SMISMEMBER', origin_stalled, unpack(candidates))
local counts = call('HMGET', origin_cancelled, unpack(candidates))
local guests = call('HMGET', origin_bridged, unpack(candidates))
local taken = call('HMGET', items, unpack(candidates))
local claims_here = call('ZMSCORE', claimed, unpack(candidates))
local stalls_here = call('SMISMEMBER', stalled, unpack(candidates))
local known = call('HMGET', bridged, unpack(candidates))
call('HLEN', cancelled)
local time = call('TIME')
local now = string.format('%.0f', time[1] * 1000 + math.floor(time[2] / 1000))

local function translated(item)
  local first = string.sub(item, 1, 1)
  local wrapped = '[' .. item .. ']'
  if json == '1' then
    if (first == '{' or first == '[') and pcall(cjson.decode, item) then
      return item
    end
    return cjson.encode(item)
  end
  local is_json, values = pcall(cjson.decode, wrapped)
  return is_json and #values == 1 and type(values[1]) == 'string' and values[1] or item
end

local moved, done = {}, {}
for i = #candidates, 1, -1 do
  local id = candidates[i]
  local is_free = not (taken[i] or claims_here[i] or known[i] or guests[i]) and stalls_here[i] == 0
  if bodies[i] and not claims[i] and stalls[i] == 0 and is_free and not done[id] then
    done[id] = true
    moved[#moved + 1] = {id, translated(bodies[i]), counts[i]}
    if #moved == room then
      break
    end
  end
end
if #moved == 0 then
  return {}
end
local score = now .. '.5' -- as a claim of ours: no peer writes that
call('INCRBY', publishes, #moved)
local reply = {}
for i, job in ipairs(moved) do
  local id, item, times = job[1], job[2], job[3]
  call('HSET', bridged, id, score)
  call('HSET', items, id, item)
  call('ZADD', published, now, id)
  call('LPUSH', ids, id)
  call('HDEL', results, id) -- of an earlier job of that id
  if times then
    call('HSET', cancelled, id, times)
  end
  call('LREM', origin_ids, -1, id)
  call('ZADD', origin_claimed, score, id)
  call('HSET', origin_lease, id, token .. ' ' .. score .. ' 99999999999999')
  if origin_options[2] ~= '0' then
    call('PUBLISH', origin_claim_channel, id)
  end
  if options[2] ~= '0' then
    call('PUBLISH', put_channel, id .. '\0' .. item)
  end
  reply[i] = id
end
return reply
