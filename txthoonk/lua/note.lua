-- What is noted of an item whose time will be over, and whether a note still holds. Included where
-- the script knows call and ids.
local function note(score, id)
  return string.format('%.17g', score) .. '\0' .. id -- as servers of all versions would write it
end

-- The id of the item, or nil where it is another publish's by now, or gone.
local function noted(text)
  local id = string.match(text, '^[^%z]*%z(.*)$')
  local score = id and call('ZSCORE', ids, id)
  return score and note(score, id) == text and id or nil
end
