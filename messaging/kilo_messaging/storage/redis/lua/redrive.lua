-- ARGV: now, after which position, the last one. Answers with the position after which to go on, or
-- '' at the end, and with what is on its way now.
local more = settle()
local chunk = call('ZRANGEBYSCORE', READY, '(' .. ARGV[2], ARGV[3], 'LIMIT', 0, BATCH)
local left = {}
for _, position in ipairs(chunk) do
  local message = read(position)
  if message[EXPIRES] > now and message[SOURCE] then
    leave(position, message, 'redriven', message[SOURCE], -1)
    wake(message)
    left[#left + 1] = position
  end
end
local rest = ''
if #chunk == BATCH then
  rest = chunk[#chunk]
elseif more then
  rest = ARGV[2]
end
return { rest, departures(left) }
