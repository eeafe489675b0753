-- ARGV: now, after, limit, with claimed ones, with delayed ones, not from this client ('' for all).
-- Answers with 'again' where claims and delays have ended that are still to be noted; else with the
-- position up to which it looked, if that is not the end, and what it found.
if settle() then
  return { 'again' }
end
local want, client = tonumber(ARGV[3]), ARGV[6]
local shelves = { READY }
if ARGV[4] == '1' then
  shelves[#shelves + 1] = CLAIMED
end
if ARGV[5] == '1' then
  shelves[#shelves + 1] = DELAYED
end

local found, cut = {}, nil
for _, shelf in ipairs(shelves) do
  local from, looked, here = '(' .. ARGV[2], 0, 0
  while here < want do
    local chunk = call('ZRANGEBYSCORE', shelf, from, '+inf', 'LIMIT', 0, want)
    for _, position in ipairs(chunk) do
      local message = read(position)
      if message[EXPIRES] <= now then
        drop(position, message)
      elseif message[CLIENT] ~= client and here < want then
        here = here + 1
        found[#found + 1] = { position, message }
      end
      from = '(' .. position
    end
    looked = looked + #chunk
    if #chunk < want then
      break
    end
    if looked >= BATCH and here < want then
      local last = string.sub(from, 2)
      cut = cut and cut < last and cut or last
      break
    end
  end
end

local answer = {}
for _, each in ipairs(sorted_by_position(found)) do
  if #answer < want and (not cut or each[1] <= cut) then
    answer[#answer + 1] = shown(each[1], each[2])
  end
end
return { 'page', cut or '', answer }
