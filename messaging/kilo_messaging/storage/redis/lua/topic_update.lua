-- ARGV: now, the version that is changed, then pairs of fields and values. Whether it was that one.
if call('HGET', TOPIC, 'version') ~= ARGV[2] then
  return 0
end
call('HSET', TOPIC, unpack(ARGV, 3))
return 1
