-- Answers with JSON.
--
-- ARGV[1] names  list
-- Returns: json
-- Errors: none
-- Publishes: nothing
return cjson.encode(ARGV)
