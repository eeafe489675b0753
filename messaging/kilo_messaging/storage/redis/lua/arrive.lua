-- ARGV: now, the version of the topic, the records, the names of the journeys, then the bodies.
-- What arrived before, from a journey of the same name, is not added again.
local topic = call('HMGET', TOPIC, 'version', 'metadata', 'created')
if topic[1] ~= ARGV[2] then
  return { 'stale', topic[1] or '', topic[2] or '', topic[3] or '' }
end
local journeys = cmsgpack.unpack(ARGV[4])
local soonest
for number, message in ipairs(cmsgpack.unpack(ARGV[3])) do
  local new = call('ZADD', ARRIVED, 'NX', int(now), journeys[number]) == 1
  if new and call('HEXISTS', IDS, message[ID]) == 0 then
    add(message, ARGV[4 + number])
    soonest = soonest and math.min(soonest, message[EXPIRES]) or message[EXPIRES]
  end
end
return { 'arrived', soonest and schedule(soonest) or '' }
