-- Subscriptions of a topic and what is on its way to them. A subscription's record has its state, when
-- it expires, its subscriber, how many go at once, and a document that scripts only pass on; its health
-- lies beside it.
--
-- DELIVERIES_DUE holds, for each subscription, what is due when: a delivery, or on a topic that keeps
-- order a lane, by its first delivery. Members sort by subscription, moment and name.

local SUBSCRIPTIONS, SUBSCRIBERS, HEALTH, SUBSCRIPTIONS_EXPIRY = KEYS[20], KEYS[21], KEYS[22], KEYS[23]
local DELIVERIES, DELIVERIES_OF = KEYS[24], KEYS[25]
local DELIVERIES_DUE, DELIVERIES_EXPIRY = KEYS[26], KEYS[27]
local NOTICES, NOTICE_USES = KEYS[28], KEYS[29]
local DELIVERY_LANES, LANE_FRONTS = KEYS[30], KEYS[31]
local LOG, LOG_OF, LOG_AT = KEYS[32], KEYS[33], KEYS[34]

-- The fields of a subscription's record and of a delivery's.
local SUB_STATE, SUB_EXPIRES, SUB_SUBSCRIBER, SUB_BATCH = 1, 2, 3, 4
local OWNER, DUE_AT, ENDS, TRIES, REASON, IN_LANE, NOTICE, FAILED = 1, 2, 3, 4, 5, 6, 7, 8

local function digits(number)
  return string.format('%016.0f', number)
end

local function first_in(set, head)
  return call('ZRANGEBYLEX', set, '[' .. head .. '\0', '(' .. head .. '\1', 'LIMIT', 0, 1)[1]
end

local function subscription(id)
  local packed = call('HGET', SUBSCRIPTIONS, id)
  local record = packed and cmsgpack.unpack(packed)
  return record and record[SUB_EXPIRES] > now and record or nil
end

local function delivery_at(position)
  local packed = call('HGET', DELIVERIES, position)
  return packed and cmsgpack.unpack(packed)
end

local function keep(position, delivery)
  call('HSET', DELIVERIES, position, cmsgpack.pack(delivery))
end

local function of_member(delivery, position)
  return delivery[OWNER] .. '\0' .. (delivery[FAILED] and '1' or '0') .. position
end

local function due_member(owner, moment, name)
  return owner .. '\0' .. digits(moment) .. name
end

local function lane_head(delivery)
  return delivery[OWNER] .. '\0' .. delivery[IN_LANE]
end

-- A lane is due when its first delivery is, or when that expires and stands in nobody's way.
local function look_at_front(owner, lane)
  local head = owner .. '\0' .. lane
  local member = first_in(DELIVERY_LANES, head)
  local first = member and delivery_at(string.sub(member, -16))
  local moment = first and digits(math.min(first[DUE_AT], first[ENDS])) or false
  local noted = call('HGET', LANE_FRONTS, head)
  if noted == moment then
    return
  end
  if noted then
    call('ZREM', DELIVERIES_DUE, owner .. '\0' .. noted .. 'l' .. lane)
  end
  if moment then
    call('HSET', LANE_FRONTS, head, moment)
    call('ZADD', DELIVERIES_DUE, 0, owner .. '\0' .. moment .. 'l' .. lane)
  else
    call('HDEL', LANE_FRONTS, head)
  end
end

-- Puts a delivery in line, or takes it out, as its state and moment are. In a lane, look_at_front is
-- called by whoever has done with the lane.
local function line_up(position, delivery)
  call('ZADD', DELIVERIES_OF, 0, of_member(delivery, position))
  if delivery[FAILED] then
    return
  elseif delivery[IN_LANE] then
    call('ZADD', DELIVERY_LANES, 0, lane_head(delivery) .. '\0' .. position)
  else
    call('ZADD', DELIVERIES_DUE, 0, due_member(delivery[OWNER], delivery[DUE_AT], 'p' .. position))
  end
end

local function take_out(position, delivery)
  call('ZREM', DELIVERIES_OF, of_member(delivery, position))
  if delivery[FAILED] then
    return
  elseif delivery[IN_LANE] then
    call('ZREM', DELIVERY_LANES, lane_head(delivery) .. '\0' .. position)
  else
    call('ZREM', DELIVERIES_DUE, due_member(delivery[OWNER], delivery[DUE_AT], 'p' .. position))
  end
end

local function change_delivery(position, delivery, set)
  take_out(position, delivery)
  for field, value in pairs(set) do
    delivery[field] = value
  end
  keep(position, delivery)
  line_up(position, delivery)
end

local function drop_delivery(position, delivery)
  take_out(position, delivery)
  call('HDEL', DELIVERIES, position)
  call('ZREM', DELIVERIES_EXPIRY, position)
  if call('HINCRBY', NOTICE_USES, delivery[NOTICE], -1) <= 0 then
    call('HDEL', NOTICE_USES, delivery[NOTICE])
    call('HDEL', NOTICES, delivery[NOTICE])
  end
end

-- Records a message that has just been added for those who want it; the earliest moment.
local function record_for(position, message, body, wanted)
  local owners, moment, lane = wanted[1], wanted[2], wanted[3]
  local entry = cmsgpack.pack(message)
  call('HSET', NOTICES, position, string.format('%08d', #entry) .. entry .. body)
  call('HSET', NOTICE_USES, position, #owners)
  for _, owner in ipairs(owners) do
    local place = digits(call('HINCRBY', TOPIC, 'sequence', 1))
    local delivery = { owner, moment, message[EXPIRES], 0, '', lane, position, false }
    keep(place, delivery)
    line_up(place, delivery)
    call('ZADD', DELIVERIES_EXPIRY, int(message[EXPIRES]), place)
    if lane then
      look_at_front(owner, lane)
    end
  end
  return moment
end

local function notice_of(delivery)
  return call('HGET', NOTICES, delivery[NOTICE])
end

-- The moment of the next delivery of a subscription that is active; '' if there is none.
local function next_delivery()
  local soonest
  for _, id in ipairs(call('HKEYS', SUBSCRIPTIONS)) do
    local record = subscription(id)
    local member = record and record[SUB_STATE] == 'active' and first_in(DELIVERIES_DUE, id)
    if member then
      local moment = string.sub(member, #id + 2, #id + 17)
      if not soonest or moment < soonest then
        soonest = moment
      end
    end
  end
  return soonest and int(tonumber(soonest)) or ''
end

-- Removes up to `most` deliveries of a subscription, and as many lines of its log; how many.
local function forget_of(id, most)
  local gone = 0
  local function each(set, remove)
    local past = '(' .. id .. '\1'
    for _, member in ipairs(call('ZRANGEBYLEX', set, '[' .. id .. '\0', past, 'LIMIT', 0, most)) do
      remove(string.sub(member, -16), member)
      gone = gone + 1
    end
  end
  each(DELIVERIES_OF, function(position, member)
    local delivery = delivery_at(position)
    if delivery then
      drop_delivery(position, delivery)
      if delivery[IN_LANE] then
        look_at_front(id, delivery[IN_LANE])
      end
    else
      call('ZREM', DELIVERIES_OF, member)
    end
  end)
  each(LOG_OF, function(position, member)
    call('ZREM', LOG_OF, member)
    call('ZREM', LOG_AT, position)
    call('HDEL', LOG, position)
  end)
  return gone
end

-- Removes a subscription. What is left of it afterwards nobody sees; it goes when it expires.
local function forget(id, most)
  local packed = call('HGET', SUBSCRIPTIONS, id)
  if packed then
    local subscriber = cmsgpack.unpack(packed)[SUB_SUBSCRIBER]
    if call('HGET', SUBSCRIBERS, subscriber) == id then
      call('HDEL', SUBSCRIBERS, subscriber)
    end
    call('HDEL', SUBSCRIPTIONS, id)
    call('HDEL', HEALTH, id)
    call('ZREM', SUBSCRIPTIONS_EXPIRY, id)
  end
  return forget_of(id, most)
end

-- Who posts must look at the subscriptions anew.
local function new_version(version)
  call('HSET', TOPIC, 'version', version)
end
