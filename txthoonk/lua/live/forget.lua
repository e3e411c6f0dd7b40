-- Forget the revisions of a feed that was seen to be gone: other programs delete only the
-- contract's keys. If it is there again by now, it is another feed.
--
-- KEYS[1] revision   hash  epoch, revision and digest of the feed
-- KEYS[2] revisions  any   hash: id -> revision
-- KEYS[3] history    any   stream of events
-- ARGV[1] epoch  text  that it had when it was gone
-- Returns: integer  1 if that was its epoch still, else 0
-- Errors: none
-- Publishes: nothing
local revision, revisions, history = unpack(KEYS)
local epoch = ARGV[1]
local call = redis.call

if call('HGET', revision, 'epoch') ~= epoch then
  return 0
end
call('DEL', revision, revisions, history)
return 1
