-- ARGV: now, limit, which lines of the log are forgotten, the topic's new version. Answers with how many
-- things were removed, the next moment that something is due, and whether anything is left to look after.
local left = tonumber(ARGV[2])

local function over(set, past)
  local found = left > 0 and call('ZRANGEBYSCORE', set, '-inf', past, 'LIMIT', 0, left) or {}
  left = left - #found
  return found
end

for _, position in ipairs(over(DELIVERIES_EXPIRY, int(now))) do
  local delivery = delivery_at(position)
  drop_delivery(position, delivery)
  if delivery[IN_LANE] then
    look_at_front(delivery[OWNER], delivery[IN_LANE])
  end
end
for _, id in ipairs(over(SUBSCRIPTIONS_EXPIRY, int(now))) do
  forget(id, BATCH)
  new_version(ARGV[4])
end
for _, position in ipairs(over(LOG_AT, '(' .. ARGV[3])) do
  local line = cmsgpack.unpack(call('HGET', LOG, position))
  call('HDEL', LOG, position)
  call('ZREM', LOG_AT, position)
  call('ZREM', LOG_OF, line[4] .. '\0' .. position)
end
local stays = call('EXISTS', SUBSCRIPTIONS, DELIVERIES, LOG) > 0
return { tonumber(ARGV[2]) - left, next_delivery(), stays and 1 or 0 }
