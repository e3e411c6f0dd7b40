redis.call('SET', 'form:' .. ARGV[1], ARGV[2])
return {}
