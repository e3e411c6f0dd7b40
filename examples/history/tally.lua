-- Count a commit: all of it, and once, however often its job is done.
--
-- KEYS[1] counted       string  a bit for each commit that was counted
-- KEYS[2] shares        hash    number of a worker -> commits; "all" -> commits
-- KEYS[3] authors       zset    author -> commits
-- KEYS[4] author_lines  hash    "+" or "-" and author -> lines added, deleted
-- KEYS[5] files         zset    path -> commits that changed it
-- KEYS[6] file_lines    hash    "+" or "-" and path -> lines added, deleted
-- ARGV[1] number   of the commit, counted from 0
-- ARGV[2] worker   number of the worker
-- ARGV[3] author
-- ARGV[4] changes  lines added, lines deleted, path, ...
-- Returns: 1, or 0 if the commit was counted already
local counted, shares, authors, author_lines = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local files, file_lines = KEYS[5], KEYS[6]
local number, worker, author = ARGV[1], ARGV[2], ARGV[3]

if redis.call('SETBIT', counted, number, 1) == 1 then
  return 0
end
redis.call('HINCRBY', shares, worker, 1)
redis.call('HINCRBY', shares, 'all', 1)
redis.call('ZINCRBY', authors, 1, author)
for i = 4, #ARGV, 3 do
  local added, deleted, path = ARGV[i], ARGV[i + 1], ARGV[i + 2]
  redis.call('ZINCRBY', files, 1, path)
  redis.call('HINCRBY', file_lines, '+' .. path, added)
  redis.call('HINCRBY', file_lines, '-' .. path, deleted)
  redis.call('HINCRBY', author_lines, '+' .. author, added)
  redis.call('HINCRBY', author_lines, '-' .. author, deleted)
end
return 1
