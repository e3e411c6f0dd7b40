-- Does not answer as it says.
--
-- Returns: integer
-- Errors: none
-- Publishes: nothing
return 'three'
