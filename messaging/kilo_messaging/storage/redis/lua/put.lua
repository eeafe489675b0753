-- ARGV: now, the topic's version, the records, the claims that hold some of them ({ id, ttl, grace, begun,
-- end }), then the bodies. Messages of another store, as they are; what is there already is left out.
local topic = call('HMGET', TOPIC, 'version', 'metadata', 'created')
if topic[1] ~= ARGV[2] then
  return { 'stale', topic[1] or '', topic[2] or '', topic[3] or '' }
end
local held = {}
local soonest
for number, message in ipairs(cmsgpack.unpack(ARGV[3])) do
  if call('HEXISTS', IDS, message[ID]) == 0 then
    local position = add(message, ARGV[4 + number])
    soonest = soonest and math.min(soonest, message[EXPIRES]) or message[EXPIRES]
    local claim = message[CLAIM]
    held[claim] = held[claim] or {}
    held[claim][#held[claim] + 1] = position
  end
end
for _, claim in ipairs(cmsgpack.unpack(ARGV[4])) do
  local known = call('HGET', CLAIMS, claim[1])
  local positions = known and cmsgpack.unpack(known)[5] or {}
  for _, position in ipairs(held[claim[1]] or {}) do
    positions[#positions + 1] = position
  end
  call('HSET', CLAIMS, claim[1], cmsgpack.pack({ claim[2], claim[3], claim[4], claim[5], positions }))
  call('ZADD', CLAIMS_EXPIRY, int(claim[5]), claim[1])
  soonest = soonest and math.min(soonest, claim[5]) or claim[5]
end
return { 'put', soonest and schedule(soonest) or '' }
