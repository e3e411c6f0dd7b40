-- Half of a number.
--
-- ARGV[1] number  number
-- Returns: number
-- Errors: none
-- Publishes: nothing
return tostring(ARGV[1] / 2)
