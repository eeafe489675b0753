-- Answers with 'again' where much has ended or expired that is still to be noted; else with how many
-- messages there are, how many of them are claimed, and the oldest and the newest.
if settle() then
  return { 'again' }
end
local total = call('ZCOUNT', EXPIRY, '(' .. int(now), '+inf')
if total == 0 then
  return { 'stats', 0, 0, {}, {} }
end

local function at_end(shelf, command)
  while removed < BATCH do
    local position = call(command, shelf, 0, 0)[1]
    local message = position and read(position)
    if not message or message[EXPIRES] > now then
      return position
    end
    drop(position, message)
  end
end

local oldest, newest
for _, shelf in ipairs({ READY, CLAIMED, DELAYED }) do
  local first, last = at_end(shelf, 'ZRANGE'), at_end(shelf, 'ZREVRANGE')
  oldest = first and (not oldest or first < oldest) and first or oldest
  newest = last and (not newest or last > newest) and last or newest
end
if removed >= BATCH then
  return { 'again' }
end
-- A claimed message lives as long as its claim, so that none of these has expired.
local claimed = call('ZCARD', CLAIMED)
return { 'stats', total, claimed, shown(oldest, read(oldest)), shown(newest, read(newest)) }
