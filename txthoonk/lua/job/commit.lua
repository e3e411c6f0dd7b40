-- Change any number of feeds and finish a claimed job: all of it, once, or nothing.
--
-- Each change is a script of its own, put in here as a function; so is the finish. First each is
-- run up to its first write, which shows whether it would refuse: so it is about the feeds as they
-- are before the commit. What the scripts find only later, a wrong type, a counter that is none, a
-- right that the user lacks, is looked for here. Only then all are run, without their conditions.
-- What a change has retracted no later one may name.
--
-- KEYS[1] config     hash    options of the job's feed
-- KEYS[2] claimed    zset    claimed jobs by when they were claimed, milliseconds
-- KEYS[3] cancelled  hash    id -> how often it was cancelled
-- KEYS[4] published  zset    jobs by when they were put, milliseconds
-- KEYS[5] items      hash    id -> item
-- KEYS[6] finishes   string  counter of finished jobs
-- KEYS[7] lease      hash    id -> token, claimed score, end of the lease
-- KEYS[8] errors     hash    id -> history of its attempts
-- KEYS[9] results    hash    id -> query and result
-- KEYS[10] due       zset    results by when they are dropped, milliseconds
-- KEYS[11] changing  keys    of each feed that is changed: what changes of it may touch; then expiring, if one is published for a while
-- ARGV[1] finish_channel  channel   results
-- ARGV[2] done_channel    channel   jobs that were finished without one
-- ARGV[3] telling         channels  of each feed that is changed, in the same order
-- ARGV[4] rest            list      ttl, id, token, "+" and the result or empty, as of job/finish; the type of each feed; of each change: number of its feed from 1, name of its script or "expect", if_revision or empty, how many arguments follow, those of the script behind the channels; expect has the epoch or empty. At most 1,000 changes
-- Returns: list  0 and the reply of each change, 1 for expect; or, if nothing was done, the number of the change that was refused, the error, and with CONFLICT what the script says of it, of expect also the epoch
-- Errors: JOBNOTCLAIMED, LEASELOST, FEEDNOTFOUND, WRONGFEEDTYPE, ITEMNOTFOUND, CONFLICT
-- Publishes: finish_channel id NUL result; done_channel id; event_channel change; under_channel event_channel NUL change; publish_channel id NUL item; edit_channel id NUL item; retract_channel id; position_channel id NUL position
local config, claimed, cancelled, published = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local items, finishes, lease, errors = KEYS[5], KEYS[6], KEYS[7], KEYS[8]
local results, due = KEYS[9], KEYS[10]
local changing = KEYS
local finish_channel, done_channel = ARGV[1], ARGV[2]
local telling = ARGV
local rest = ARGV
-- script feed/publish
-- script feed/publish_for
-- script feed/retract
-- script sorted_feed/publish
-- script sorted_feed/insert
-- script sorted_feed/edit
-- script sorted_feed/move
-- script sorted_feed/retract
-- script job/finish
-- Of each script: itself; its keys and channels, as their headers have them; which arguments are
-- ids of items that must be there; whether it needs memory; and what it does from its first write
-- on, which a user may lack the right to.
local change = 'HSET revision DEL revision XADD history DEL history '
  .. 'HSET revisions HDEL revisions DEL revisions HLEN revisions HKEYS revisions HEXISTS items '
local of_feed, of_list = 'ZREM ids HDEL items PUBLISH retract_channel ', 'HDEL items LREM ids '
local scripts = {
  ['feed/publish'] = {
    feed_publish,
    {'config', 'ids', 'items', 'publishes', 'revision', 'revisions', 'history'},
    {'event_channel', 'under_channel', 'publish_channel', 'edit_channel', 'retract_channel'},
    {1}, true,
    change .. of_feed .. 'INCR publishes HSET items ZADD ids ZCARD ids ZRANGE ids ZRANK ids '
      .. 'PUBLISH publish_channel PUBLISH edit_channel',
  },
  ['feed/publish_for'] = {
    feed_publish_for,
    {
      'config', 'ids', 'items', 'publishes', 'revision', 'revisions', 'history',
      'expires', 'expiring',
    },
    {'event_channel', 'under_channel', 'publish_channel', 'edit_channel', 'retract_channel'},
    {3}, true,
    change .. of_feed .. 'INCR publishes HSET items ZADD ids ZCARD ids ZRANGE ids ZRANK ids '
      .. 'PUBLISH publish_channel PUBLISH edit_channel '
      .. 'ZREM expires HLEN items ZRANGE expires ZADD expires ZSCORE ids ZADD expiring',
  },
  ['feed/retract'] = {
    feed_retract,
    {'config', 'ids', 'items', 'revision', 'revisions', 'history'},
    {'event_channel', 'under_channel', 'retract_channel'},
    {1}, false,
    change .. of_feed,
  },
  ['sorted_feed/publish'] = {
    sorted_feed_publish,
    {'config', 'ids', 'items', 'publishes', 'idincr', 'revision', 'revisions', 'history'},
    {'event_channel', 'under_channel', 'publish_channel', 'position_channel'},
    {}, true,
    change .. 'INCR idincr HSET items LPUSH ids RPUSH ids INCR publishes '
      .. 'PUBLISH publish_channel PUBLISH position_channel',
  },
  ['sorted_feed/insert'] = {
    sorted_feed_insert,
    {'config', 'ids', 'items', 'publishes', 'idincr', 'revision', 'revisions', 'history'},
    {'event_channel', 'under_channel', 'publish_channel', 'position_channel'},
    {2}, true,
    change .. 'INCR idincr HSET items LINSERT ids INCR publishes '
      .. 'PUBLISH publish_channel PUBLISH position_channel',
  },
  ['sorted_feed/edit'] = {
    sorted_feed_edit,
    {'config', 'ids', 'items', 'publishes', 'revision', 'revisions', 'history'},
    {'event_channel', 'under_channel', 'publish_channel'},
    {1}, true,
    change .. 'INCR publishes HSET items PUBLISH publish_channel',
  },
  ['sorted_feed/move'] = {
    sorted_feed_move,
    {'config', 'ids', 'items', 'revision', 'revisions', 'history'},
    {'event_channel', 'under_channel', 'position_channel'},
    {1, 3}, false,
    change .. 'LREM ids LPUSH ids RPUSH ids LINSERT ids PUBLISH position_channel',
  },
  ['sorted_feed/retract'] = {
    sorted_feed_retract,
    {'config', 'ids', 'items', 'revision', 'revisions', 'history'},
    {'event_channel', 'under_channel', 'retract_channel'},
    {1}, false,
    change .. of_list .. 'PUBLISH retract_channel',
  },
}
local key_names = {
  'config', 'ids', 'items', 'publishes', 'idincr', 'revision', 'revisions', 'history',
  'expires',
}
local channel_names = {
  'event_channel', 'under_channel', 'publish_channel',
  'edit_channel', 'retract_channel', 'position_channel',
}
local reads = {
  TIME = true, GET = true, HGET = true, HMGET = true, HLEN = true, HEXISTS = true, HKEYS = true,
  LLEN = true, LPOS = true, ZCARD = true, ZCOUNT = true, ZRANGE = true, ZREVRANGE = true,
  ZRANK = true, ZSCORE = true, ZMSCORE = true, ZRANGEBYSCORE = true,
}
local call = redis.call

-- What a script sees that is only to be tried: at its first write it stays where it is, for good.
local function trying(how)
  return function(command, ...)
    if reads[command] then
      return how(command, ...)
    end
    return coroutine.yield()
  end
end
local look = setmetatable({call = trying(redis.call), pcall = trying(redis.pcall)}, {__index = redis})

-- What was tried and may be done cannot fail; only Redis 6.2 does not say beforehand whether the
-- user may publish somewhere: who may not does it all the same, and nobody hears of it there.
local messages = {PUBLISH = true}
local apply = setmetatable({
  call = function(command, ...)
    return (messages[command] and redis.pcall or call)(command, ...)
  end,
}, {__index = redis})

-- What an error says: its code comes first, whatever Redis puts in front of that.
local function text(why)
  why = string.gsub(type(why) == 'table' and why.err or why, '^%-', '')
  return (string.gsub(why, '^ERR (%u+)$', '%1'))
end

-- Run a script up to its first write: what it answers if it does not come there, and whether that
-- is an error.
local function try(script, keys, args)
  local running = coroutine.create(script)
  local fine, answer = coroutine.resume(running, keys, args, look)
  if not fine then
    return text(answer), true
  elseif coroutine.status(running) ~= 'suspended' then
    if type(answer) == 'table' and answer.err then
      return text(answer), true
    end
    return answer
  end
end

-- What a function answers, or what the error that it ends with says.
local function ask(what, ...)
  local fine, answer = pcall(what, ...)
  if fine then
    return answer
  end
  return text(answer)
end

-- What the user may not do of all that a script does. All keys are declared, so Redis has checked
-- these; 6.2 does not say more before it is done.
local may = redis.acl_check_cmd
local function forbidden(does, at)
  if may then
    for command, name in string.gmatch(does, '(%u+) ([%l_]+)') do
      if not may(command, at[name]) then
        return 'NOPERM this user has no permissions to run ' .. command .. ' on ' .. at[name]
      end
    end
  end
end

local function no_counter(key)
  local count = call('GET', key) or '0'
  if not string.match(count, '^%-?%d+$') or string.format('%.0f', count) ~= count then
    return 'WRONGTYPE ' .. key .. ' is no counter'
  end
end

local job = {
  config = config, claimed = claimed, cancelled = cancelled, published = published, items = items,
  finishes = finishes, lease = lease, errors = errors, results = results, due = due,
  finish_channel = finish_channel, done_channel = done_channel,
}
local job_keys = {
  config, claimed, cancelled, published, items, finishes, lease, errors, results, due,
}
local count = math.floor((#changing - #job_keys) / #key_names)
-- No feed's own: in a cluster it is seldom in their slot.
local expiring = changing[#job_keys + count * #key_names + 1]
local at = 3 + count * #channel_names
local finish = {finish_channel, done_channel, rest[at], rest[at + 1], rest[at + 2], rest[at + 3]}
local id = rest[at + 1]
at = at + 4

-- The lease first of all.
local refused, wrong = try(job_finish, job_keys, finish)
if refused and not wrong then
  refused = refused[1]
end
refused = refused or ask(forbidden, 'ZREM claimed HDEL cancelled ZREM published HDEL items '
  .. 'HDEL lease HDEL errors INCRBY finishes ZRANGEBYSCORE due ZREM due HDEL results '
  .. 'HSET results ZADD due ZADD claimed '
  .. 'PUBLISH finish_channel PUBLISH done_channel', job)
if refused then
  return {err = refused}
end

-- The feeds.
local feeds = {}
for number = 1, count do
  local feed = {type = rest[at + number - 1], expiring = expiring, checked = {}, retracted = {}}
  for i, name in ipairs(key_names) do
    feed[name] = changing[#job_keys + (number - 1) * #key_names + i]
  end
  for i, name in ipairs(channel_names) do
    feed[name] = telling[2 + (number - 1) * #channel_names + i]
  end
  feeds[number] = feed
end
at = at + count

-- Why a feed cannot be changed by a script, though the script alone would only find out later.
local function unfit(feed, name, script)
  if not feed.known then
    local kind = call('HGET', feed.config, 'type')
    if not kind then
      return 'FEEDNOTFOUND'
    elseif kind ~= feed.type then
      return 'WRONGFEEDTYPE'
    end
    call('HLEN', feed.items)
    call('HLEN', feed.revision)
    feed.known = true
  end
  if script and not feed.checked[name] then
    feed.checked[name] = true
    local of_a_list = string.sub(name, 1, 5) ~= 'feed/'
    call(of_a_list and 'LLEN' or 'ZCARD', feed.ids)
    for _, key in ipairs(script[2]) do
      if key == 'publishes' or key == 'idincr' then
        local why = no_counter(feed[key])
        if why then
          return why
        end
      end
    end
    return forbidden(script[6], feed)
  end
end

local function expect(feed, revision, epoch)
  local known = call('HMGET', feed.revision, 'revision', 'epoch')
  local number = known[2] and string.match(known[1] or '', '^%d+$') or '0'
  if number ~= revision or epoch ~= '' and known[2] ~= epoch then
    return {'CONFLICT', number, number, false, known[2] or ''}
  end
end

local changes = {}
local grows = false
while rest[at] do
  local feed, name, if_revision = feeds[tonumber(rest[at])], rest[at + 1], rest[at + 2]
  local number, script, keys, args = #changes + 1, scripts[name], {}, {}
  local why = ask(unfit, feed, name, script)
  if why then
    return {number, why}
  end
  local answer
  if name == 'expect' then
    answer = expect(feed, if_revision, rest[at + 4])
  else
    for i, key in ipairs(script[2]) do
      keys[i] = feed[key]
    end
    for i, channel in ipairs(script[3]) do
      args[i] = feed[channel]
    end
    local before, given = #args, tonumber(rest[at + 3])
    for i = 1, given do
      args[before + i] = rest[at + 3 + i]
    end
    if if_revision ~= '' then
      args[#args + 1] = if_revision
    end
    answer, wrong = try(script[1], keys, args)
    if wrong then
      return {number, answer}
    end
    for _, i in ipairs(script[4]) do
      if feed.retracted[args[before + i]] then
        return {number, 'ITEMNOTFOUND'}
      end
    end
    if script[1] == feed_retract or script[1] == sorted_feed_retract then
      feed.retracted[args[before + 1]] = true
    end
    args[before + given + 1] = nil
    grows = grows or script[5]
  end
  if type(answer) == 'table' then
    return {number, answer[1], answer[2], answer[3], answer[4], answer[5]}
  end
  -- Where there is nothing to retract now there is nothing to be retracted.
  local run = not answer and script and script[1]
  changes[number] = {run = run, keys = keys, args = args, answer = answer or 1}
  at = at + 4 + rest[at + 3]
end

-- What needs memory must not begin with what makes room; this changes nothing.
if grows then
  call('ZADD', claimed, call('ZSCORE', claimed, id), id)
end
local told = {0}
for number, each in ipairs(changes) do
  told[number + 1] = each.run and each.run(each.keys, each.args, apply) or each.answer
end
job_finish(job_keys, finish, apply)
return told
