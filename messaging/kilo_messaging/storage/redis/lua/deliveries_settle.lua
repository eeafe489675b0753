-- ARGV: now, the topic's new version, then for each settlement, in fives: subscription, position, how it
-- ended, when it is due again, and the line of the log: { number, reason, at, ... }. Answers with the
-- next moment that something is due, '' if nothing.
local lanes = {}

local function end_delivery(position, result, due, line)
  local delivery = delivery_at(position)
  if not delivery then
    return
  end
  if result == 'delivered' then
    drop_delivery(position, delivery)
  else
    change_delivery(position, delivery, {
      [DUE_AT] = due, [TRIES] = line[1], [REASON] = line[2], [FAILED] = result ~= 'retry',
    })
  end
  if delivery[IN_LANE] then
    lanes[#lanes + 1] = { delivery[OWNER], delivery[IN_LANE] }
  end
end

local function note_health(id, result, line)
  if result == 'delivered' then
    call('HDEL', HEALTH, id)
    return
  end
  local packed = call('HGET', HEALTH, id)
  local before = packed and cmsgpack.unpack(packed) or { 0, now, '' }
  call('HSET', HEALTH, id, cmsgpack.pack({ before[1] + 1, before[2], line[2] }))
  if result == 'gone' then
    local record = cmsgpack.unpack(call('HGET', SUBSCRIPTIONS, id))
    record[SUB_STATE] = 'disabled'
    call('HSET', SUBSCRIPTIONS, id, cmsgpack.pack(record))
    new_version(ARGV[2])
  end
end

for number = 3, #ARGV, 5 do
  local id, position, result = ARGV[number], ARGV[number + 1], ARGV[number + 2]
  if call('HEXISTS', SUBSCRIPTIONS, id) == 1 then
    local line = cmsgpack.unpack(ARGV[number + 4])
    end_delivery(position, result, tonumber(ARGV[number + 3]), line)
    note_health(id, result, line)
    local place = digits(call('HINCRBY', TOPIC, 'sequence', 1))
    call('HSET', LOG, place, ARGV[number + 4])
    call('ZADD', LOG_OF, 0, id .. '\0' .. place)
    call('ZADD', LOG_AT, int(line[3]), place)
  end
end
for _, lane in ipairs(lanes) do
  look_at_front(lane[1], lane[2])
end
return next_delivery()
