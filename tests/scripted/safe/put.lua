-- Put a value under a field, unless there are too many.
--
-- KEYS[1] fields  hash     field -> value
-- KEYS[2] log     list     fields, the last one first
-- ARGV[1] stored  channel  fields
-- ARGV[2] field   text
-- ARGV[3] value   bytes
-- ARGV[4] most    integer  how many fields there may be
-- Returns: integer  how many fields there are
-- Errors: FULL, TWICE
-- Publishes: stored field
local fields, log = unpack(KEYS)
local stored, field, value, most = unpack(ARGV)

if redis.call('HEXISTS', fields, field) == 1 then
  return redis.error_reply('TWICE')
end
local count = redis.call('HLEN', fields)
if count >= tonumber(most) then
  return redis.error_reply('FULL of ' .. count)
end
redis.call('HSET', fields, field, value)
redis.call('LPUSH', log, field)
redis.call('PUBLISH', stored, field)
return count + 1
