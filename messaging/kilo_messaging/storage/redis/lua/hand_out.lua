-- Handing out: the oldest messages that are ready, in each lane the first ones only. `on_take` gets
-- what is handed out; messages that were claimed too often leave for the dead letters instead.

local rules = call('HMGET', TOPIC, 'ordering', 'priorities', 'max_claims', 'dead', 'dead_ttl')
local ordered, priorities = rules[1] and rules[1] ~= 'none', rules[2] == '1'
local max_claims, dead_topic = tonumber(rules[3] or ''), rules[4] or ''
local dead_ttl = tonumber(rules[5] or '') or -1
local left = {}

local function is_dead(message, buries)
  return buries and dead_topic ~= '' and max_claims and message[COUNT] >= max_claims
end

local function bury(position, message)
  leave(position, message, 'dead', dead_topic, dead_ttl)
  left[#left + 1] = position
end

local function from_shelf(shelf, want, buries, on_take)
  local taken = 0
  while taken < want and removed < BATCH do
    local chunk = call('ZRANGE', shelf, 0, want - taken - 1)
    if #chunk == 0 then
      break
    end
    for _, position in ipairs(chunk) do
      local message = read(position)
      if message[EXPIRES] <= now then
        drop(position, message)
      elseif is_dead(message, buries) then
        bury(position, message)
      else
        on_take(position, message)
        taken = taken + 1
      end
    end
  end
  return taken
end

-- The first messages of a lane, with what has expired removed on the way.
local function first_of(lane, want)
  local found = {}
  local from, past = '[' .. lane .. '\0', '(' .. lane .. '\1'
  while #found < want do
    local members = call('ZRANGEBYLEX', LANES, from, past, 'LIMIT', 0, want)
    for _, member in ipairs(members) do
      local position = string.sub(member, -16)
      local message = read(position)
      if message[EXPIRES] <= now then
        drop(position, message)
      elseif #found < want then
        found[#found + 1] = { position, message }
      end
      from = '(' .. member
    end
    if #members < want or removed >= BATCH then
      break
    end
  end
  return found
end

-- `ends`: until when what is taken is claimed; nil where it is removed.
local function from_lane(lane, want, buries, ends, on_take)
  local first = first_of(lane, want + 1)
  local ready, dead = {}, {}
  for _, each in ipairs(first) do
    if #ready == want or state_at(each[2]) ~= IS_READY then
      break
    end
    ready[#ready + 1] = each
    if is_dead(each[2], buries) then
      dead[#dead + 1] = each
    end
  end
  if #dead > 0 then
    -- What comes after them moves up: the lane stays due, and is looked at once more.
    for _, each in ipairs(dead) do
      bury(each[1], each[2])
    end
    return 0
  end
  local behind = first[#ready + 1]
  for _, each in ipairs(ready) do
    on_take(each[1], each[2])
  end
  if ends and #ready > 0 then
    call('ZADD', LANES_DUE, int(ends), lane)
  elseif behind == nil then
    if removed < BATCH then
      call('ZREM', LANES_DUE, lane)
    end
  elseif state_at(behind[2]) ~= IS_READY then
    call('ZADD', LANES_DUE, int(math.min(behind[2][VISIBLE], behind[2][EXPIRES])), lane)
  end
  return #ready
end

local function from_lanes(want, buries, ends, on_take)
  local taken = 0
  while taken < want and removed < BATCH do
    local lanes = call('ZRANGEBYSCORE', LANES_DUE, '-inf', int(now), 'LIMIT', 0, want - taken)
    if #lanes == 0 then
      break
    end
    for _, lane in ipairs(lanes) do
      if taken < want and removed < BATCH then
        taken = taken + from_lane(lane, want - taken, buries, ends, on_take)
      end
    end
  end
  return taken
end

-- Hands out up to `want`; whether it gave up early because there was so much to remove on the way.
local function hand_out(want, buries, ends, on_take)
  local more = settle()
  local taken = 0
  if ordered then
    taken = from_lanes(want, buries, ends, on_take)
  else
    if priorities then
      taken = from_shelf(URGENT, want, buries, on_take)
    end
    taken = taken + from_shelf(READY, want - taken, buries, on_take)
  end
  return taken == 0 and (more or removed >= BATCH)
end
