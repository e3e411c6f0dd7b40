-- All fields with their values.
--
-- KEYS[1] fields  hash
-- Returns: pairs  field, value, ...
-- Errors: none
-- Publishes: nothing
return redis.call('HGETALL', KEYS[1])
