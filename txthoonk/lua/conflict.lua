-- Why a change that was made for another revision is none, or nil. Included behind change.
local function conflict(wanted, id)
  local item = id and call('HGET', items, id)
  local last = id and '0'
  if item then
    last = redis.pcall('HGET', revisions, id)
    if type(last) ~= 'string' then
      last = nil -- it is another program's, or of another epoch: only the feed's revision will do
    end
  end
  if wanted ~= number and wanted ~= last then
    return {'CONFLICT', number, last or number, item}
  end
end
