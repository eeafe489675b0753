-- ARGV: now, then pairs of fields and values. Whether there was none.
if call('EXISTS', TOPIC) == 1 then
  return 0
end
-- Positions begin where no older topic of the same name can have come: markers stay valid.
call('HSET', TOPIC, 'sequence', int(now), 'created', int(now), unpack(ARGV, 2))
return 1
