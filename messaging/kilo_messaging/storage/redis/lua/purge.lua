-- ARGV: now, the position of the last message to remove. Answers with whether there may be more.
local more = settle()
for _, shelf in ipairs({ READY, DELAYED }) do
  for _, position in ipairs(call('ZRANGEBYSCORE', shelf, '-inf', ARGV[2], 'LIMIT', 0, BATCH)) do
    local message = read(position)
    drop(position, message)
    wake(message)
  end
end
return (more or removed > 0) and 1 or 0
