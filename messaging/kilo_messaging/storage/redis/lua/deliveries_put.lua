-- ARGV: now, subscription, then for each delivery, in threes: { due, tries, reason, lane, failed }, its
-- notice's record, and its body. Deliveries of another store, as they are. Answers with the next moment
-- that something is due.
local id = ARGV[2]
if not subscription(id) then
  return ''
end
for number = 3, #ARGV, 3 do
  local given, message = cmsgpack.unpack(ARGV[number]), cmsgpack.unpack(ARGV[number + 1])
  local place = digits(call('HINCRBY', TOPIC, 'sequence', 1))
  local entry = ARGV[number + 1]
  call('HSET', NOTICES, place, string.format('%08d', #entry) .. entry .. ARGV[number + 2])
  call('HSET', NOTICE_USES, place, 1)
  local lane = given[4]
  local delivery = { id, given[1], message[EXPIRES], given[2], given[3], lane, place, given[5] }
  keep(place, delivery)
  line_up(place, delivery)
  call('ZADD', DELIVERIES_EXPIRY, int(message[EXPIRES]), place)
  if lane then
    look_at_front(id, lane)
  end
end
return next_delivery()
