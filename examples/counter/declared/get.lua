-- What a counter stands at.
--
-- KEYS[1] total  string
-- Returns: integer
-- Errors: none
-- Publishes: nothing
return tonumber(redis.call('GET', KEYS[1]) or 0)
