-- What every script that changes a feed does with each change: it takes the next revision, goes
-- into the history, and is told on two channels of ours before the contract's. Included where the
-- script knows call, time, kept, revision, revisions, history, event_channel and under_channel.
local known = call('HMGET', revision, 'revision', 'digest', 'epoch')
local number, digest, epoch = known[1] or '0', known[2] or '0', known[3]
if not epoch or #number > 14 or #digest > 14
    or not string.match(number .. ' ' .. digest .. ' ' .. epoch, '^%d+ %d+ %d+$') then
  number, digest, epoch = '0', '0', nil -- none yet, or nonsense that somebody wrote
end
local micros = time[1] * 1000000 + time[2]

-- Only behind the first write of a script: this one removes.
local function begin()
  number, digest, epoch = '0', '0', string.format('%.0f', micros)
  call('DEL', history, revisions, revision)
  call('HSET', revision, 'epoch', epoch)
end

local function change(kind, position, rest, count)
  if not epoch then
    begin()
  end
  count = count % 1e14 -- as a text, what is more is no integer
  -- As texts: Redis takes long to make one of a number.
  number = number + 1 .. ''
  digest = (digest * 31 + micros + #rest) % 99999999999973 .. ''
  local event = number .. ' ' .. epoch .. ' ' .. digest .. ' ' .. count .. ' ' .. kind
    .. '\0' .. position .. '\0' .. rest
  if kept ~= '0' then
    local added = redis.pcall('XADD', history, 'MAXLEN', kept, number .. '-0', 'e', event)
    local why = type(added) == 'table' and added.err
    if why and (string.find(why, 'equal or smaller') or string.find(why, 'WRONGTYPE')) then
      -- The stream is ahead of the revision, or no stream: what is known there is of no use.
      begin()
      number = '1'
      digest = (micros + #rest) % 99999999999973 .. ''
      event = '1 ' .. epoch .. ' ' .. digest .. ' ' .. count .. ' ' .. kind
        .. '\0' .. position .. '\0' .. rest
      redis.pcall('XADD', history, 'MAXLEN', kept, '1-0', 'e', event)
    end
  else
    call('DEL', history)
  end
  -- Who may not publish there still publishes: followers find out when they look.
  redis.pcall('PUBLISH', event_channel, event)
  redis.pcall('PUBLISH', under_channel, event_channel .. '\0' .. event)
  return event
end

-- Keep the last revision: of the feed, and of an item if one is given.
local function keep(id)
  call('HSET', revision, 'revision', number, 'digest', digest)
  if id and type(redis.pcall('HSET', revisions, id, number)) == 'table' then
    call('DEL', revisions)
    call('HSET', revisions, id, number)
  end
  -- Other programs take items out and leave the revisions: now and then they are looked for.
  if string.sub(number, -3) == '000'
    and call('HLEN', revisions) > 2 * call('HLEN', items) + 1000 then
    for _, each in ipairs(call('HKEYS', revisions)) do
      if call('HEXISTS', items, each) == 0 then
        call('HDEL', revisions, each)
      end
    end
  end
end

local function forget(...)
  if type(redis.pcall('HDEL', revisions, ...)) == 'table' then
    call('DEL', revisions)
  end
end
