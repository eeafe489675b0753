-- ARGV: now, claim id. Answers with the claim's record and what it still holds; nothing if it has ended.
local packed = call('HGET', CLAIMS, ARGV[2])
local claim = packed and cmsgpack.unpack(packed)
if not claim or claim[4] <= now then
  return {}
end
local held = {}
for _, position in ipairs(claim[5]) do
  local message = read(position)
  if message and holder_of(message) == ARGV[2] and message[EXPIRES] > now then
    held[#held + 1] = shown(position, message)
  end
end
return { packed, sorted_by_position(held) }
