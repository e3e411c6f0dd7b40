return {false, redis.call('ZCOUNT', 'recurring:' .. ARGV[1], '-inf', ARGV[2])}
