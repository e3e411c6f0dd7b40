-- Publish an item, or edit the one of that id, and note when its time is over.
--
-- The note says which publish it was, by the item's score in ids: every publish of the id, by
-- whatever program, gives it another one. So feed/expire finds out whether the note still holds.
-- Where many hold no longer, since their items were published anew, retracted or evicted, each
-- call drops some.
--
-- KEYS[1] config     hash    options of the feed
-- KEYS[2] ids        zset    ids by time
-- KEYS[3] items      hash    id -> item
-- KEYS[4] publishes  string  counter of publishes and edits
-- KEYS[5] revision   hash    epoch, revision and digest of the feed
-- KEYS[6] revisions  any     hash: id -> revision; anything else there is replaced
-- KEYS[7] history    any     stream of events; anything else there is replaced
-- KEYS[8] expires    zset    score in ids, NUL, id by when the time of the item is over, milliseconds
-- KEYS[9] expiring   zset    feeds by when the first of their items is over, milliseconds
-- ARGV[1] event_channel    channel       changes
-- ARGV[2] under_channel    channel       changes, for those who follow patterns
-- ARGV[3] publish_channel  channel       new items
-- ARGV[4] edit_channel     channel       edited items
-- ARGV[5] retract_channel  channel       evicted items
-- ARGV[6] feed             text          name of the feed
-- ARGV[7] ttl              milliseconds  how long the item stays
-- ARGV[8] id               text          of the item
-- ARGV[9] item             bytes
-- ARGV[10] if_revision     integer       of the feed or the item, else nothing is done; may be missing
-- Returns: integer  the revision
-- Errors: FEEDNOTFOUND, CONFLICT
-- Publishes: event_channel change; under_channel event_channel NUL change; retract_channel id; publish_channel id NUL item; edit_channel id NUL item
local config, ids, items, publishes, revision, revisions, history, expires, expiring = unpack(KEYS)
local event_channel, under_channel, publish_channel, edit_channel, retract_channel, feed, ttl, id, item, if_revision = unpack(ARGV)
local call = redis.call

-- script feed/publish
-- include note
local before = call('ZSCORE', ids, id)
local count = call('ZCARD', expires)
call('ZCARD', expiring)
local number = feed_publish(
  {config, ids, items, publishes, revision, revisions, history},
  {event_channel, under_channel, publish_channel, edit_channel, retract_channel, id, item, if_revision},
  redis)
if type(number) ~= 'number' then
  return number
end
if before then
  call('ZREM', expires, note(before, id))
end
local time = call('TIME')
if count > 2 * call('HLEN', items) + 100 then
  local at = time[2] % count -- some here, some there
  for _, each in ipairs(call('ZRANGE', expires, at, at + 9)) do
    if not noted(each) then
      call('ZREM', expires, each)
    end
  end
end
-- Rounded up: it is never over too early.
local over = time[1] * 1000 + math.ceil(time[2] / 1000) + ttl
call('ZADD', expires, string.format('%.0f', over), note(call('ZSCORE', ids, id), id))
call('ZADD', expiring, call('ZRANGE', expires, 0, 0, 'WITHSCORES')[2], feed)
return number
