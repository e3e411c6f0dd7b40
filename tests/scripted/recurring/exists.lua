return {false, redis.call('SISMEMBER', 'recurrings', ARGV[1])}
