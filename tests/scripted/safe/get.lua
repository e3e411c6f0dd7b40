-- The value of a field.
--
-- KEYS[1] fields  hash
-- ARGV[1] field   text
-- Returns: bytes  or nothing
-- Errors: none
-- Publishes: nothing
return redis.call('HGET', KEYS[1], ARGV[1])
