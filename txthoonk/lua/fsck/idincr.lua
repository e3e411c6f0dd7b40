-- Look whether the last id of a sorted feed is below an id that is there; repair that if asked.
--
-- KEYS[1] idincr  any   the last id that was given
-- KEYS[2] items   hash  id -> item
-- ARGV[1] repair   integer  1: repair what is a fault
-- ARGV[2] mark     text     what the look before answered, or empty
-- ARGV[3] highest  text     the highest id that is a number, or 0
-- Returns: list  empty, mark, kind, detail, 1 if it was repaired, ...
-- Errors: none
-- Publishes: nothing
local idincr, items = KEYS[1], KEYS[2]
local repair, mark, highest = ARGV[1], ARGV[2], ARGV[3]

local last = redis.call('GET', idincr) or '0'
local there = highest == '0' or redis.call('HEXISTS', items, highest) == 1
local is_number = string.match(last, '^%d+$') and (last == '0' or not string.match(last, '^0'))
-- As text: a number in Lua has 53 bits.
local below = is_number and (#last < #highest or #last == #highest and last < highest)
local detail
if not is_number then
  detail = idincr .. ' is no number: ' .. last
elseif below and there then
  detail = idincr .. ' is ' .. last .. ', below the id ' .. highest
end
redis.call('HLEN', items)
if not detail or mark ~= '' and mark ~= detail then
  return {}
end
local fix = repair == '1' and mark == detail
if fix then
  redis.call('DEL', idincr) -- a removal first: Redis then lets this finish at maxmemory
  redis.call('SET', idincr, highest)
end
return {'', detail, 'counter', detail, fix and 1 or 0}
