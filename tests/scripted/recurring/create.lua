-- ARGV: name, config as JSON
local name, config = unpack(ARGV)

if redis.call('SADD', 'recurrings', name) == 0 then
  return {'Recurring already exists'}
end
for option, value in pairs(cjson.decode(config)) do
  redis.call('HSET', 'recurring.config:' .. name, option, value)
end
return {false}
