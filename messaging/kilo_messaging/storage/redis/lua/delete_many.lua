-- ARGV: now, ids.
for number = 2, #ARGV do
  local position = call('HGET', IDS, ARGV[number])
  local message = position and read(position)
  if message then
    drop(position, message)
    wake(message)
  end
end
return removed
