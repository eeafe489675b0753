-- ARGV: now, message id, claim id or ''. Answers with the message where it may not be deleted, and
-- whether the claim lives.
local position = call('HGET', IDS, ARGV[2])
local message = position and read(position)
if not message or message[EXPIRES] <= now then
  return { 'deleted' }
end
if holder_of(message) ~= ARGV[3] then
  local claim = ARGV[3] ~= '' and call('HGET', CLAIMS, ARGV[3])
  local lives = claim and cmsgpack.unpack(claim)[4] > now
  return { 'refused', lives and 1 or 0, shown(position, message) }
end
drop(position, message)
wake(message)
return { 'deleted' }
