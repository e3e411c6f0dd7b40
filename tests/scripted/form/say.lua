-- Publishes an event.
redis.call('PUBLISH', 'event.form.' .. ARGV[2] .. ':' .. ARGV[1], ARGV[3])
return {}
