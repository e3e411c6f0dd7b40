-- Make sure that a feed of a type exists; set those of its options that are given.
--
-- An existing feed must be of that type. `feed` is what thoonk.py and thoonk.js write over the
-- real type when they set an option, so there the keys are asked: a list of ids is another type's,
-- and so is none where there is a key that feeds do not have.
--
-- KEYS[1] feeds    set   names of all feeds
-- KEYS[2] config   hash  options of the feed
-- KEYS[3] ids      any   ids of the feed, zset or list by type
-- KEYS[4] idincr     any  of sorted feeds
-- KEYS[5] published  any  of jobs
-- KEYS[6] stalled    any  of jobs
-- KEYS[7] finishes   any  of jobs
-- KEYS[8] ours       keys  keys that only txThoonk knows
-- ARGV[1] newfeed   channel  feeds that were created
-- ARGV[2] conffeed  channel  feeds whose options were set
-- ARGV[3] name      text     of the feed
-- ARGV[4] instance  text     who asks
-- ARGV[5] wanted    text     type of the feed
-- ARGV[6] options   pairs    option, value, ...; maybe none; an empty limit is removed
-- Returns: integer  1 if it was created, 0 if it was there
-- Errors: WRONGFEEDTYPE
-- Publishes: newfeed name NUL instance; conffeed name NUL instance
local feeds, config, ids, idincr = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local published, stalled, finishes, ours = KEYS[5], KEYS[6], KEYS[7], {unpack(KEYS, 8)}
local newfeed, conffeed, name, instance, wanted = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local options = {unpack(ARGV, 6)}

local exists = redis.call('SISMEMBER', feeds, name) == 1
local kind = redis.call('HGET', config, 'type')
local stored = redis.call('TYPE', ids).ok
if exists and kind and kind ~= wanted then
  local believed = kind == 'feed' and (stored == 'list' or stored == 'none' and (
    wanted == 'sorted_feed' and redis.call('EXISTS', idincr) == 1
    or wanted == 'job' and redis.call('EXISTS', published, stalled, finishes) > 0))
  if not believed then
    return redis.error_reply('WRONGFEEDTYPE it is a ' .. kind .. ', not a ' .. wanted)
  end
elseif exists and wanted == 'feed' and stored == 'list' then
  return redis.error_reply('WRONGFEEDTYPE its ids are a list, so it is no feed')
end
-- An empty value takes these away; a title, or an entry of somebody's own, may be empty.
local removable = ' max_length history claim_timeout max_attempts backoff peer_timeout result_ttl '
local set, unset = {}, {}
for i = 1, #options, 2 do
  if options[i + 1] == '' and string.find(removable, ' ' .. options[i] .. ' ', 1, true) then
    unset[#unset + 1] = options[i]
  else
    set[#set + 1] = options[i]
    set[#set + 1] = options[i + 1]
  end
end
-- A name without a type keeps thoonk.py's listeners from starting.
if not exists or not kind then
  set[#set + 1] = 'type'
  set[#set + 1] = wanted
end
if not exists then
  redis.call('SADD', feeds, name)
end
if #set > 0 then
  if exists and wanted == 'job' then
    -- A removal first: Redis then lets this finish at maxmemory, and a worker begin to drain.
    redis.call('HDEL', config, '')
  end
  redis.call('HSET', config, unpack(set))
end
if #unset > 0 then
  redis.call('HDEL', config, unpack(unset))
end
if not exists then
  redis.call('DEL', unpack(ours))
  redis.call('PUBLISH', newfeed, name .. '\0' .. instance)
end
if #set > 0 or #unset > 0 then
  redis.call('PUBLISH', conffeed, name .. '\0' .. instance)
end
return exists and 0 or 1
