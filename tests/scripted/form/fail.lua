-- Fails in the way that is asked for.
if ARGV[2] == 'raise' then
  error('so it is')
elseif ARGV[2] == 'reply' then
  return redis.error_reply('BAD thing')
elseif ARGV[2] == 'type' then
  redis.call('SET', 'form:' .. ARGV[1], 'a')
  return redis.call('LLEN', 'form:' .. ARGV[1])
end
