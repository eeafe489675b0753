-- ARGV: now, limit.
local found = {}
local again = hand_out(tonumber(ARGV[2]), false, nil, function(position, message)
  found[#found + 1] = shown(position, message)
  drop(position, message)
  removed = removed - 1
end)
if not priorities then
  sorted_by_position(found)
end
return { again and 1 or 0, found }
