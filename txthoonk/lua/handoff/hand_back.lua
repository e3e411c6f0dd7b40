-- Put back an id that came for a blocked get which no longer waits.
--
-- KEYS[1] ids      list  ids, the next one to be taken at the right
-- KEYS[2] handoff  list  ids on their way to a get
-- ARGV[1] id  text  of the item or job
-- Returns: integer  1 if it was still on its way, 0 if not
-- Errors: none
-- Publishes: nothing
local ids, handoff = KEYS[1], KEYS[2]
local id = ARGV[1]

redis.call('LLEN', ids)
if redis.call('LREM', handoff, -1, id) == 0 then
  return 0
end
redis.call('RPUSH', ids, id)
return 1
