-- What a feed or sorted feed is, as of one instant: its revision, the events since another one,
-- and a page of its items.
--
-- A position is lost if its epoch is another, if it is ahead, if the digest of the events up to it
-- is another, or if the event behind it is no longer in the history. Where that event is the first
-- one there, nothing tells the digest: `unproved`.
--
-- KEYS[1] config     hash    options of the feed
-- KEYS[2] ids        any     ids of the feed, zset or list by type
-- KEYS[3] items      hash    id -> item
-- KEYS[4] publishes  any     counter of publishes and edits
-- KEYS[5] revision   hash    epoch, revision and digest of the feed
-- KEYS[6] history    any     stream of events
-- ARGV[1] epoch   text     of the position; empty if there was none yet, * for any
-- ARGV[2] since   integer  revision of the position; empty where events are not wanted
-- ARGV[3] digest  integer  of the position, empty for any
-- ARGV[4] most    integer  events to return
-- ARGV[5] page    integer  items to return
-- ARGV[6] behind  text     id that the page begins behind; empty: at the first
-- ARGV[7] proof   integer  1: a digest of the order is wanted, where the ids are a list; 2: of ids and items
-- Returns: list  type of ids, type of the feed or empty, epoch, revision, digest, publishes, how many ids, how many items, "" or unproved or why the position is lost, events, id, item or false, ... or false, the digest, or empty
-- Errors: none
-- Publishes: nothing
local config, ids, items, publishes, revision, history = unpack(KEYS)
local epoch, since, digest, most, page, behind, proof = unpack(ARGV)
local call = redis.call

local stored = call('TYPE', ids).ok
local kind = call('HGET', config, 'type') or ''
local known = call('HMGET', revision, 'epoch', 'revision', 'digest')
local now, last, proved = known[1] or '', known[2] or '0', known[3] or '0'
local counted = call('TYPE', publishes).ok == 'string' and call('GET', publishes) or '0'

local lost, events = '', {}
if since ~= '' then
  local missing = last - since
  if epoch ~= '*' and epoch ~= now and (epoch ~= '' or since ~= '0') then
    lost = 'epoch'
  elseif missing < 0 then
    lost = 'future'
  elseif missing == 0 then
    lost = since ~= '0' and digest ~= '' and digest ~= proved and 'digest' or ''
  else
    local found = redis.pcall('XRANGE', history, since .. '-0', '+', 'COUNT', most + 1)
    local first = found[1] and string.match(found[1][1], '^%d+')
    if first == since then
      if digest ~= '' and string.match(found[1][2][2], '^%d+ %d+ (%d+) ') ~= digest then
        lost = 'digest'
      end
      table.remove(found, 1)
      first = found[1] and string.match(found[1][1], '^%d+')
    elseif since ~= '0' and digest ~= '' then
      lost = 'unproved'
    end
    if not first or first + 0 ~= since + 1 then
      lost = lost == 'digest' and lost or 'trimmed'
    elseif lost ~= 'digest' then
      for i = 1, math.min(#found, tonumber(most)) do
        events[i] = found[i][2][2]
      end
    end
  end
end

local count, items_there, all, order = 0, call('HLEN', items), false, ''
if stored == 'zset' then
  count = call('ZCARD', ids)
elseif stored == 'list' then
  count = call('LLEN', ids)
end
page = tonumber(page)
if page > 0 then
  local first = 0
  if behind ~= '' then
    if stored == 'zset' then
      first = call('ZRANK', ids, behind)
    else
      first = stored == 'list' and call('LPOS', ids, behind)
    end
    first = first and first + 1
  end
  if first then
    all = {}
    local some = {}
    if stored == 'zset' then
      some = call('ZRANGE', ids, first, first + page - 1)
    elseif stored == 'list' then
      some = call('LRANGE', ids, first, first + page - 1)
    end
    for i = 1, #some, 5000 do
      local to = math.min(i + 4999, #some)
      local values = call('HMGET', items, unpack(some, i, to))
      for j = i, to do
        all[2 * j - 1] = some[j]
        all[2 * j] = values[j - i + 1]
      end
    end
  end
end
if lost == '' and (stored == 'list' and proof == '1' or count > 0 and proof == '2') then
  local parts = call(stored == 'list' and 'LRANGE' or 'ZRANGE', ids, 0, -1)
  if proof == '2' then
    local both = {}
    for i = 1, #parts, 5000 do
      local to = math.min(i + 4999, #parts)
      local values = call('HMGET', items, unpack(parts, i, to))
      for j = i, to do
        both[2 * j - 1] = parts[j]
        both[2 * j] = values[j - i + 1] or ''
      end
    end
    parts = both
  end
  order = redis.sha1hex(table.concat(parts, '\0'))
end
return {stored, kind, now, last, proved, counted, count, items_there, lost, events, all, order}
