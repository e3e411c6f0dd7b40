-- Create a set of recurring tasks, as thoonk.js's branch `scripting` does.
--
-- The options are set whether or not it was there.
--
-- KEYS[1] recurrings        set   names of all such sets
-- KEYS[2] recurring_config  hash  options of this one: timeout, milliseconds
-- ARGV[1] name     text   of the set
-- ARGV[2] options  pairs  option, value, ...
-- Returns: integer  1 if it was created, 0 if it was there
-- Errors: none
-- Publishes: nothing
local recurrings, recurring_config = KEYS[1], KEYS[2]
local name, options = ARGV[1], {unpack(ARGV, 2)}

redis.call('SISMEMBER', recurrings, name)
redis.call('HSET', recurring_config, unpack(options))
return redis.call('SADD', recurrings, name)
