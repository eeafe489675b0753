-- ARGV: now, ids.
local found = {}
for number = 2, #ARGV do
  local position = call('HGET', IDS, ARGV[number])
  local message = position and read(position)
  if message and message[EXPIRES] > now then
    found[#found + 1] = shown(position, message)
  end
end
return found
