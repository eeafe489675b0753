-- ARGV: now, claim id, limit, end, until when its messages live at least, ttl, grace.
local claim, want, ends, lives = ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])
local held = {}

local known = call('HGET', CLAIMS, claim)
if known then
  -- The same call once more, since its answer was lost.
  for _, position in ipairs(cmsgpack.unpack(known)[5]) do
    local message = read(position)
    if message and holder_of(message) == claim then
      held[#held + 1] = shown(position, message)
    end
  end
  return { 0, '', {}, held }
end

local positions = {}
local again = hand_out(want, true, ends, function(position, message)
  message[COUNT] = message[COUNT] + 1
  live_until(position, message, lives)
  change(position, message, IS_CLAIMED, ends, claim)
  positions[#positions + 1] = position
  held[#held + 1] = shown(position, message)
end)

local sweep = ''
if #held > 0 then
  local record = { tonumber(ARGV[6]), tonumber(ARGV[7]), now, ends, positions }
  call('HSET', CLAIMS, claim, cmsgpack.pack(record))
  call('ZADD', CLAIMS_EXPIRY, int(ends), claim)
  sweep = schedule(ends)
end
if not priorities then
  sorted_by_position(held)
end
return { again and 1 or 0, sweep, departures(left), held }
