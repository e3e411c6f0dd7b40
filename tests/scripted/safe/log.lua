-- The last fields.
--
-- KEYS[1] log   list
-- Returns: list
-- Errors: none
-- Publishes: nothing
return redis.call('LRANGE', KEYS[1], 0, -1)
