return {false, ARGV[2], redis.call('ZSCORE', 'recurring:' .. ARGV[1], ARGV[2])}
