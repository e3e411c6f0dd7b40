-- Greets whoever is named.
local first, last = unpack(ARGV)
redis.call('PUBLISH', 'event.hello.greeted', first)
return {false, 'Hello, ' .. first .. ' ' .. last}
