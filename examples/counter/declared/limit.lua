-- Let a counter go so far and no further.
--
-- KEYS[1] limit    string
-- ARGV[1] limited  channel
-- ARGV[2] most     integer
-- Returns: nothing
-- Errors: none
-- Publishes: limited the limit
local limit, limited, most = KEYS[1], ARGV[1], ARGV[2]

redis.call('SET', limit, most)
redis.call('PUBLISH', limited, most)
return false
