-- ARGV: now, until when, how many at most, how many for one subscription, then busy subscriptions.
-- Answers with the next moment that something is due ('' if nothing), and for each subscription that
-- gives something its id, record, health, and its deliveries in turn.
local ends, left, most = tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local busy = {}
for number = 5, #ARGV do
  busy[ARGV[number]] = true
end

local waiting = {}
for _, id in ipairs(call('HKEYS', SUBSCRIPTIONS)) do
  local record = not busy[id] and subscription(id)
  local member = record and record[SUB_STATE] == 'active' and first_in(DELIVERIES_DUE, id)
  if member and tonumber(string.sub(member, #id + 2, #id + 17)) <= now then
    waiting[#waiting + 1] = { member = string.sub(member, #id + 2), id = id }
  end
end
table.sort(waiting, function(one, other) return one.member < other.member end)

local function hold(position, delivery, taken)
  taken[#taken + 1] = { position, cmsgpack.pack(delivery), notice_of(delivery) }
  change_delivery(position, delivery, { [DUE_AT] = ends })
end

local function from_line(id, lane, room, batch, taken)
  local head = id .. '\0' .. lane
  local held, want = 0, math.min(room, batch)
  local from = '[' .. head .. '\0'
  while held < want and removed < BATCH do
    local member = call('ZRANGEBYLEX', DELIVERY_LANES, from, '(' .. head .. '\1', 'LIMIT', 0, 1)[1]
    if not member then
      break
    end
    from = '(' .. member
    local position = string.sub(member, -16)
    local delivery = delivery_at(position)
    if delivery[ENDS] <= now then
      drop_delivery(position, delivery)
      removed = removed + 1
    elseif delivery[DUE_AT] > now then
      break
    else
      hold(position, delivery, taken)
      held = held + 1
    end
  end
  look_at_front(id, lane)
  return held
end

local function due_of(id, want)
  local past = '(' .. id .. '\0' .. digits(now + 1)
  return call('ZRANGEBYLEX', DELIVERIES_DUE, '[' .. id .. '\0', past, 'LIMIT', 0, want)
end

local function from_subscription(id, room)
  local taken = {}
  local packed = call('HGET', SUBSCRIPTIONS, id)
  local batch = cmsgpack.unpack(packed)[SUB_BATCH]
  local seen = true
  while #taken < room and seen and removed < BATCH do
    seen = false
    for _, member in ipairs(due_of(id, room - #taken)) do
      seen = true
      local kind, name = string.sub(member, #id + 18, #id + 18), string.sub(member, #id + 19)
      if kind == 'l' then
        if #taken < room then
          from_line(id, name, room - #taken, batch, taken)
        end
      else
        local delivery = delivery_at(name)
        if delivery[ENDS] <= now then
          drop_delivery(name, delivery)
          removed = removed + 1
        else
          hold(name, delivery, taken)
        end
      end
    end
  end
  return packed, taken
end

local jobs = {}
for _, each in ipairs(waiting) do
  if left <= 0 or removed >= BATCH then
    break
  end
  local packed, taken = from_subscription(each.id, math.min(left, most))
  left = left - #taken
  if #taken > 0 then
    jobs[#jobs + 1] = { each.id, packed, call('HGET', HEALTH, each.id) or '', taken }
  end
end
return { next_delivery(), jobs }
