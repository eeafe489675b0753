-- ARGV: now, claim id, end, until when its messages live at least, ttl, grace. Whether it lived.
local packed = call('HGET', CLAIMS, ARGV[2])
local claim = packed and cmsgpack.unpack(packed)
if not claim or claim[4] <= now then
  return 0
end
local ends, lives = tonumber(ARGV[3]), tonumber(ARGV[4])
for _, position in ipairs(claim[5]) do
  local message = read(position)
  if message and holder_of(message) == ARGV[2] and message[EXPIRES] > now then
    live_until(position, message, lives)
    change(position, message, IS_CLAIMED, ends, ARGV[2])
  end
end
claim[1], claim[2], claim[3], claim[4] = tonumber(ARGV[5]), tonumber(ARGV[6]), now, ends
call('HSET', CLAIMS, ARGV[2], cmsgpack.pack(claim))
call('ZADD', CLAIMS_EXPIRY, int(ends), ARGV[2])
return 1
