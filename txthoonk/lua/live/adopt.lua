-- Give what others did to a feed or sorted feed, past its revisions, a revision each.
--
-- The caller says what it knows the feed to be at a revision: all ids in order, and of those that
-- it has doubts of, digests of their items. With the events since, that is what the feed is at the
-- last revision. What differs from it is what other programs did: each difference becomes a change,
-- in an order that makes of what is known what is there. Whoever comes second finds no difference.
--
-- In `rebirth` mode the feed begins another epoch instead: `gone` if anything differs, since it is
-- known to have been deleted; `cut` if what was counted cannot account for it, since whoever deletes a
-- feed deletes the counters, too. In a sorted feed not everybody counts new items among the publishes,
-- but the last id that was given is counted.
--
-- KEYS[1] config     hash    options of the feed
-- KEYS[2] ids        any     ids of the feed, zset or list by type
-- KEYS[3] items      hash    id -> item
-- KEYS[4] publishes  any     counter of publishes and edits
-- KEYS[5] revision   hash    epoch, revision and digest of the feed
-- KEYS[6] revisions  any     hash: id -> revision; anything else there is replaced
-- KEYS[7] history    any     stream of events; anything else there is replaced
-- KEYS[8] idincr     any     last id that was given
-- ARGV[1] event_channel  channel  changes
-- ARGV[2] under_channel  channel  changes, for those who follow patterns
-- ARGV[3] at_epoch       text     of what is known, empty if there was none
-- ARGV[4] at_revision    integer  of what is known
-- ARGV[5] rebirth        text     "gone", "cut" or empty
-- ARGV[6] expected       integer  the counter of publishes, as far as is known by whom it was counted
-- ARGV[7] sure           integer  the same, but for what other followers have told since all was compared
-- ARGV[8] doubts         integer  how many ids with digests come first
-- ARGV[9] told           list     id, SHA1 of its item, ... for each doubt; then all ids in order
-- Returns: list  the epoch, the revision, how many changes were made; -1: another epoch was begun; -2: the events since are not known; the changes; the counter of publishes
-- Errors: none
-- Publishes: event_channel change; under_channel event_channel NUL change
local config, ids, items, publishes, revision, revisions, history, idincr = unpack(KEYS)
local event_channel, under_channel, at_epoch, at_revision = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local rebirth, expected, sure = ARGV[5], tonumber(ARGV[6]), tonumber(ARGV[7])
local doubts, told = tonumber(ARGV[8]), ARGV
local call = redis.call

local options = call('HMGET', config, 'type', 'max_length', 'history')
local stored = call('TYPE', ids).ok
local read = stored == 'list' and 'LRANGE' or 'ZRANGE'
local time = call('TIME')
-- include kept
-- include change
local number_then = tonumber(at_revision)
if (epoch or '') ~= at_epoch and (at_epoch ~= '' or number_then ~= 0) or not options[1]
  or options[1] == 'queue' or options[1] == 'job' then
  return {epoch or '', number, -2, {}, 0}
end

-- What is known, as a list that is linked both ways; '' is before the first and behind the last.
local digests, after, prior = {}, {['']=''}, {['']=''}
local function remove(id)
  after[prior[id]], prior[after[id]] = after[id], prior[id]
  after[id], prior[id] = nil, nil
end
local function insert(id, position)
  local left = prior['']
  if position == 'begin:' then
    left = ''
  elseif position ~= '' and position ~= ':end' then
    local behind, before = string.match(position, '^(.+):$'), string.match(position, '^:(.+)$')
    if behind and after[behind] then
      left = behind
    elseif before and after[before] then
      left = prior[before]
    end
  end
  after[id], prior[id] = after[left], left
  after[left], prior[after[id]] = id, id
end
local first, highest = 9 + 2 * doubts, 0
local whole = doubts == #told - first + 1
for i = 9, first - 1, 2 do
  digests[told[i]] = told[i + 1]
end
for i = first, #told do
  insert(told[i], '')
  highest = math.max(highest, tonumber(told[i]) or 0)
end

-- The events since, if there are any.
local behind = number - number_then
if behind ~= 0 then
  local since = behind < 0 and {}
    or redis.pcall('XRANGE', history, string.format('%.0f-0', number_then + 1), '+', 'COUNT', 1000)
  if since.err or #since ~= behind then
    return {epoch or '', number, -2, {}, 0}
  end
  for _, entry in ipairs(since) do
    local count_then, verb, position, rest = string.match(entry[2][2],
      '^%d+ %d+ %d+ (%d+) ([^%z ]*)%z([^%z]*)%z(.*)$')
    local id, item = string.match(rest, '^([^%z]*)%z?(.*)$')
    if verb == 'publish' or verb == 'edit' then
      expected, sure = expected + 1, sure + 1
    elseif string.find(verb, '+', 1, true) then
      expected = tonumber(count_then)
    end
    verb = string.gsub(verb, '%+', '')
    if (digests[id] or whole) and (verb == 'publish' or verb == 'edit') then
      digests[id] = redis.sha1hex(item)
    end
    local was_there = after[id]
    if was_there and not (verb == 'edit' and stored == 'list') then
      remove(id)
    end
    -- A move of what is not known has no item.
    if verb ~= 'retract' and not after[id] and (was_there or verb ~= 'position') then
      insert(id, position)
    end
  end
end
local had, had_at = {}, {}
local each = after['']
while each ~= '' do
  had[#had + 1] = each
  had_at[each] = #had
  each = after[each]
end

-- What is there now: ids that have an item. Only those that are new or doubted are looked up.
local now, now_at, value = {}, {}, {}
if stored == 'zset' or stored == 'list' then
  for _, id in ipairs(call(read, ids, 0, -1)) do
    local there = true
    if not had_at[id] or digests[id] then
      value[id] = call('HGET', items, id)
      there = value[id]
    end
    if there and not now_at[id] then
      now[#now + 1] = id
      now_at[id] = #now
    end
  end
end
local changes, published = {}, 0
for _, id in ipairs(had) do
  if not now_at[id] then
    changes[#changes + 1] = {'retract+', '', id}
  end
end

-- Those that kept their places: the longest run of ids that both orders have in common. An edit
-- tells a place in a feed.
local place, tails, before, edited = {}, {}, {}, {}
for _, id in ipairs(now) do
  local at = had_at[id]
  edited[id] = digests[id] and redis.sha1hex(value[id]) ~= digests[id]
  if at and not (edited[id] and stored == 'zset') then
    local low, high = 1, #tails + 1
    while low < high do
      local middle = math.floor((low + high) / 2)
      if tails[middle] < at then
        low = middle + 1
      else
        high = middle
      end
    end
    tails[low] = at
    before[at] = tails[low - 1]
  end
end
local at = tails[#tails]
while at do
  place[had[at]] = true
  at = before[at]
end
-- Each behind the one before; where one is called begin, that would mean the first place.
local from, to, step = 1, #now, 1
if now_at.begin then
  from, to, step = #now, 1, -1
end
for i = from, to, step do
  local id, position = now[i], nil
  if stored == 'zset' and i == #now then
    position = ''
  elseif step > 0 then
    position = i == 1 and 'begin:' or now[i - 1] .. ':'
  else
    position = now[i + 1] and ':' .. now[i + 1] or ':end'
  end
  if edited[id] or not had_at[id] and stored == 'zset' then
    published = published + 1
  end
  if not had_at[id] then
    changes[#changes + 1] = {'publish+', position, id .. '\0' .. value[id], id, true}
  elseif stored == 'list' then
    if edited[id] then
      changes[#changes + 1] = {'edit+', '', id .. '\0' .. value[id], id, true}
    end
    if not place[id] then
      changes[#changes + 1] = {'position+', position, id, id}
    end
  elseif not place[id] then
    local item = value[id] or call('HGET', items, id)
    if item then
      changes[#changes + 1] = {'edit+', position, id .. '\0' .. item, id, edited[id]}
    end
  end
end
local function counter(key)
  return string.match(call('TYPE', key).ok == 'string' and call('GET', key) or '', '^%d+$') or '0'
end
local count = counter(publishes)
if #changes == 0 then
  return {epoch or '', number, 0, {}, tonumber(count)}
end

-- The first write fails alone if there is no memory.
call('HSET', revision, 'revision', number)
if rebirth == 'gone' or rebirth == 'cut' and #had > 0
    and (count + 0 < expected or count - sure < published
      or stored == 'list' and highest > counter(idincr) + 0) then
  begin()
  keep()
  local event = '0 ' .. epoch .. ' 0 0 begin\0\0'
  call('PUBLISH', event_channel, event)
  call('PUBLISH', under_channel, event_channel .. '\0' .. event)
  return {epoch, number, -1, {}, tonumber(count)}
end
-- The counter in these goes as far as others' items were seen to: some may be on their way. Who only
-- has another place may be one of ours, beside an item of another clock.
local events, seen = {}, whole and count or math.min(expected, count)
for _, each in ipairs(changes) do
  if not whole and each[5] then
    seen = math.min(seen + 1, count)
  end
  events[#events + 1] = change(each[1], each[2], each[3], seen)
  if each[4] then
    keep(each[4])
  else
    forget(each[3])
  end
end
keep()
return {epoch, number, #changes, events, tonumber(count)}
