-- ARGV: now, claim id.
local packed = call('HGET', CLAIMS, ARGV[2])
local claim = packed and cmsgpack.unpack(packed)
if not claim or claim[4] <= now then
  return 0
end
for _, position in ipairs(claim[5]) do
  local message = read(position)
  if message and holder_of(message) == ARGV[2] then
    change(position, message, IS_READY, now, '')
    wake(message)
  end
end
call('HDEL', CLAIMS, ARGV[2])
call('ZREM', CLAIMS_EXPIRY, ARGV[2])
return 1
