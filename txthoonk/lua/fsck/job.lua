-- Look at suspects among jobs: each is in exactly one state, all else fits it; repair if asked.
--
-- Where a job is in several states, claimed goes before handed before available. Stalled, which
-- delayed ones are too, goes before these two, and before claimed unless a claim of ours holds. A
-- job is delayed where it is stalled, published, and in delayed.
--
-- As with config.lua, what is the same at two looks is a fault: a peer pops an id before it claims
-- it. Leases are extended meanwhile, and maintenance marks what it has seen; that is no change. A
-- mark that maintenance has not looked at again for a minute is left behind.
--
-- KEYS[1] ids        list  available jobs, the next one at the right
-- KEYS[2] handoff    list  ids on their way to a claim
-- KEYS[3] items      hash  id -> item
-- KEYS[4] claimed    zset  claimed jobs by when they were claimed, milliseconds
-- KEYS[5] stalled    set   stalled jobs
-- KEYS[6] published  zset  jobs by when they were put, milliseconds
-- KEYS[7] delayed    zset  jobs that are put for later, by when they are due, milliseconds
-- KEYS[8] cancelled  hash  id -> how often it was cancelled
-- KEYS[9] lease      hash  id -> token, score and end of its claim
-- KEYS[10] errors    hash  id -> what became of earlier attempts
-- KEYS[11] results   hash  id -> query and result of a finished job
-- KEYS[12] due       zset  ids in results by when they are dropped, milliseconds
-- KEYS[13] seen      zset  ids that maintenance has seen on their way
-- KEYS[14] lost      zset  ids that maintenance has seen in no state
-- KEYS[15] config    hash  options of the feed
-- ARGV[1] job_retract_channel  channel  jobs that were dropped
-- ARGV[2] repair               integer  1: repair what is a fault
-- ARGV[3] suspects             triples  id, how often it was seen in lists, what the look before answered or empty, ...
-- Returns: list  id, mark, kind, detail, 1 if it was repaired, ...
-- Errors: none
-- Publishes: job_retract_channel id
local ids, handoff, items, claimed, stalled = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local published, delayed, cancelled, lease = KEYS[6], KEYS[7], KEYS[8], KEYS[9]
local errors, results, due, seen, lost, config = KEYS[10], KEYS[11], KEYS[12], KEYS[13], KEYS[14], KEYS[15]
local job_retract_channel, repair, suspects = ARGV[1], ARGV[2], {unpack(ARGV, 3)}
local call = redis.call

local ttl = tonumber(call('HGET', config, 'result_ttl') or 60) or 60
call('LLEN', ids)
call('LLEN', handoff)
local time = call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

local function count(list, id, times)
  if times > 1 then
    return #call('LPOS', list, id, 'COUNT', 0)
  end
  return call('LPOS', list, id) and 1 or 0
end

local function is_old(mark)
  return mark and now - tonumber(mark) > 60000
end

-- Everything there is about a job, without the lists.
local function look(id)
  local j = {
    item = call('HEXISTS', items, id) == 1,
    claim = call('ZSCORE', claimed, id) or nil,
    stall = call('SISMEMBER', stalled, id) == 1,
    put = call('ZSCORE', published, id) or nil,
    later = call('ZSCORE', delayed, id) or nil,
    cancels = call('HGET', cancelled, id) or nil,
    lease = call('HGET', lease, id) or nil,
    errors = call('HEXISTS', errors, id) == 1,
    result = call('HEXISTS', results, id) == 1,
    due = call('ZSCORE', due, id) or nil,
    waits = 0,
    handed = 0,
  }
  local token, score, ends = string.match(j.lease or '', '^(%S*) (%S+) (%S+)$')
  j.token = token and token .. ' ' .. score
  -- The lease is that of this claim, whoever has it.
  j.fits = j.claim and tonumber(score) == tonumber(j.claim)
  j.holds = j.fits and token ~= '' and (tonumber(ends) or 0) > now
  j.left = {}
  for key, is_in in pairs({
    [published] = j.put, [delayed] = j.later, [cancelled] = j.cancels, [lease] = j.lease,
    [errors] = j.errors, [seen] = is_old(call('ZSCORE', seen, id)),
    [lost] = is_old(call('ZSCORE', lost, id)),
  }) do
    if is_in then
      j.left[#j.left + 1] = key
    end
  end
  table.sort(j.left)
  return j
end

-- What is wrong with a job as {kind, detail} each; *fix* gets the commands that put it right.
local function judge(id, j, fix)
  local faults, states = {}, {}
  local function fault(kind, detail)
    faults[#faults + 1] = {kind, detail}
  end
  for _, state in ipairs({
    {j.claim, 'claimed'}, {j.stall, j.later and j.put and 'delayed' or 'stalled'},
    {j.handed > 0, 'handed'}, {j.waits > 0, 'available'},
  }) do
    if state[1] then
      states[#states + 1] = state[2]
    end
  end
  local state = states[1]
  if state == 'claimed' and j.stall and not j.holds then
    state = states[2]
  end
  local all = table.concat(states, ' and ')
  local function drop()
    for _, key in ipairs({claimed, published, delayed, seen, lost}) do
      fix[#fix + 1] = {'ZREM', key, id}
    end
    for _, key in ipairs({items, cancelled, lease, errors}) do
      fix[#fix + 1] = {'HDEL', key, id}
    end
    fix[#fix + 1] = {'SREM', stalled, id}
    fix[#fix + 1] = {'LREM', ids, 0, id}
    fix[#fix + 1] = {'LREM', handoff, 0, id}
    fix.dropped = #states > 0 or j.item
  end

  if not j.item then
    if state then
      fault('no item', all .. ', without an item')
    elseif #j.left > 0 then
      fault('leftover', 'without a job, left in ' .. table.concat(j.left, ', '))
    end
    if #faults > 0 then
      drop()
    end
  elseif not state and not j.put then
    fault('retracted', 'in no state and not in ' .. published .. ': a peer left its item')
    drop()
  elseif not state then
    fault('no state', 'not finished, but in no state')
    fix[#fix + 1] = {'ZREM', delayed, id}
    fix[#fix + 1] = {'ZREM', lost, id}
    fix[#fix + 1] = {'HDEL', lease, id}
    fix[#fix + 1] = {'LPUSH', ids, id}
  else
    -- What else is wrong with a job in several states follows from that: it is put right unnamed.
    if #states > 1 then
      fault('several states', all .. ': ' .. state .. ' holds')
    end
    local function also(kind, detail, command)
      if #states == 1 then
        fault(kind, detail)
      end
      fix[#fix + 1] = command
    end
    if state ~= 'claimed' and j.claim then
      fix[#fix + 1] = {'ZREM', claimed, id}
    end
    if state == 'claimed' and j.stall then
      fix[#fix + 1] = {'SREM', stalled, id}
    end
    if state ~= 'handed' and j.handed > 0 and state ~= 'available' then
      fix[#fix + 1] = {'LREM', handoff, 0, id}
    elseif j.handed > 1 then
      also('twice', j.handed .. ' times in ' .. handoff, {'LREM', handoff, j.handed - 1, id})
    end
    if state ~= 'available' and j.waits > 0 then
      fix[#fix + 1] = {'LREM', ids, 0, id}
    elseif j.waits > 1 then -- from the left: the next to be taken is at the right
      also('twice', j.waits .. ' times in ' .. ids, {'LREM', ids, j.waits - 1, id})
    end
    if j.later and state ~= 'delayed' then
      also('delayed', 'in ' .. delayed .. ', but ' .. state, {'ZREM', delayed, id})
    end
    if j.put and state == 'stalled' then
      also('published', 'stalled, but in ' .. published, {'ZREM', published, id})
    elseif not j.put and state ~= 'stalled' then
      also('unpublished', state .. ', but not in ' .. published,
        {'ZADD', published, string.format('%.0f', now), id})
    end
    if j.lease and state ~= 'claimed' then
      also('lease', 'in ' .. lease .. ', but ' .. state, {'HDEL', lease, id})
    elseif j.lease and not j.fits then
      also('lease', 'claimed, but in ' .. lease .. ' by another claim', {'HDEL', lease, id})
    end
    if j.cancels and (not string.match(j.cancels, '^%d+$')
        or string.format('%.0f', j.cancels) ~= j.cancels) then
      fault('counter', 'no number in ' .. cancelled .. ': ' .. j.cancels)
      fix[#fix + 1] = {'HDEL', cancelled, id}
    end
  end
  if j.result and not j.due then
    fault('result', 'in ' .. results .. ', but never dropped: not in ' .. due)
    fix[#fix + 1] = {'ZADD', due, string.format('%.0f', now + ttl * 1000), id}
  elseif j.due and not j.result then
    fault('result', 'in ' .. due .. ', but not in ' .. results)
    fix[#fix + 1] = {'ZREM', due, id}
  end
  return faults
end

local reply, fixes = {}, {}
for i = 1, #suspects, 3 do
  local id, times, mark = suspects[i], tonumber(suspects[i + 1]), suspects[i + 2]
  local job = look(id)
  -- What costs as much as the lists are long only where it may tell something.
  if times > 0 or job.item or job.claim or job.stall or #job.left > 0 then
    job.waits, job.handed = count(ids, id, times), count(handoff, id, times)
  end
  local fix = {}
  local faults = judge(id, job, fix)
  local was = {}
  for _, value in ipairs({
    job.item, job.waits, job.handed, job.claim or false, job.stall, job.put or false,
    job.later or false, job.cancels or false, job.token or false, job.errors, job.result,
    job.due or false,
  }) do
    was[#was + 1] = tostring(value)
  end
  was = table.concat(was, ' ')
  if #faults > 0 and (mark == '' or mark == was) then
    local repaired = repair == '1' and mark == was
    if repaired then
      fix.id = id
      fixes[#fixes + 1] = fix
    end
    for _, fault in ipairs(faults) do
      for _, value in ipairs({id, was, fault[1], fault[2], repaired and 1 or 0}) do
        reply[#reply + 1] = value
      end
    end
  end
end
if #fixes > 0 then
  call('ZREM', lost, '') -- a removal first: Redis then lets this finish at maxmemory
end
for _, fix in ipairs(fixes) do
  for _, command in ipairs(fix) do
    call(unpack(command))
  end
  if fix.dropped then
    call('PUBLISH', job_retract_channel, fix.id)
  end
end
return reply
