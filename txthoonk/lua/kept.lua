-- How many events the history keeps: the option, or twice the limit, or a thousand.
local kept = string.match(options[3] or '', '^0*(%d+)$')
if not kept or #kept > 13 then
  local limit = string.match(options[2] or '', '^%d+$')
  kept = limit and limit + 0 > 0 and math.min(2 * limit, 1e12) .. '' or '1000'
end
