-- What every script of a topic shares: its keys, its records, and how a message changes its state.
-- All keys of a topic have one hash tag, so that a script stays on one node of a cluster. Times are
-- whole microseconds since 1970; positions are texts of sixteen digits, so that they sort as numbers.

local TOPIC, BODIES, STATES, IDS = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local READY, CLAIMED, DELAYED, URGENT = KEYS[5], KEYS[6], KEYS[7], KEYS[8]
local DUE, EXPIRY = KEYS[9], KEYS[10]
local CLAIMS, CLAIMS_EXPIRY = KEYS[11], KEYS[12]
local LANES, LANES_DUE = KEYS[13], KEYS[14]
local DEDUP, DEDUP_EXPIRY = KEYS[15], KEYS[16]
local ONCE, LEAVING, ARRIVED = KEYS[17], KEYS[18], KEYS[19]

-- The fields of a message's record, in the order of records.py.
local STATE, VISIBLE, EXPIRES, TTL, COUNT, CLAIM = 1, 2, 3, 4, 5, 6
local LANE, CLIENT, PRIORITY, ID, CREATED, SOURCE = 7, 8, 9, 10, 11, 12
local IS_READY, IS_CLAIMED = 0, 1
local SHELVES = { [0] = READY, [1] = CLAIMED, [2] = DELAYED }

-- How many messages one script settles or removes at most, so that nobody else waits for long.
local BATCH = 500

local call = redis.call
local now = tonumber(ARGV[1])
local removed = 0

local function int(number)
  return string.format('%.0f', number)
end

local function read(position)
  local packed = call('HGET', STATES, position)
  return packed and cmsgpack.unpack(packed)
end

local function write(position, message)
  call('HSET', STATES, position, cmsgpack.pack(message))
end

local function state_at(message)
  return message[VISIBLE] <= now and IS_READY or message[STATE]
end

local function holder_of(message)
  return state_at(message) == IS_CLAIMED and message[CLAIM] or ''
end

local function in_lane(message, position)
  return message[LANE] .. '\0' .. position
end

local function shelve(position, message)
  call('ZADD', SHELVES[message[STATE]], position, position)
  if message[STATE] ~= IS_READY then
    call('ZADD', DUE, int(message[VISIBLE]), position)
  elseif message[PRIORITY] > 0 then
    call('ZADD', URGENT, -message[PRIORITY], position)
  end
end

local function unshelve(position, message)
  call('ZREM', SHELVES[message[STATE]], position)
  if message[STATE] ~= IS_READY then
    call('ZREM', DUE, position)
  elseif message[PRIORITY] > 0 then
    call('ZREM', URGENT, position)
  end
end

local function change(position, message, state, visible, claim)
  unshelve(position, message)
  message[STATE], message[VISIBLE], message[CLAIM] = state, visible, claim
  shelve(position, message)
  write(position, message)
end

local function live_until(position, message, moment)
  if message[EXPIRES] < moment then
    message[EXPIRES] = moment
    message[TTL] = math.floor((moment - message[CREATED]) / 1000000 + 0.5)
    call('ZADD', EXPIRY, int(moment), position)
  end
end

local function drop(position, message)
  unshelve(position, message)
  call('HDEL', STATES, position)
  call('HDEL', BODIES, position)
  call('HDEL', IDS, message[ID])
  call('ZREM', EXPIRY, position)
  if message[LANE] then
    call('ZREM', LANES, in_lane(message, position))
  end
  removed = removed + 1
end

-- Somebody must look at the message's lane again, for its first may have changed.
local function wake(message)
  if message[LANE] then
    call('ZADD', LANES_DUE, 'XX', 'LT', int(now), message[LANE])
  end
end

-- What a client of the store gets to see of a message.
local function shown(position, message)
  return { position, cmsgpack.pack(message), call('HGET', BODIES, position) }
end

-- Claims and delays that have ended leave their messages ready; whether there may be more of them.
local function settle()
  local due = call('ZRANGEBYSCORE', DUE, '-inf', int(now), 'LIMIT', 0, BATCH)
  for _, position in ipairs(due) do
    local message = read(position)
    if message[EXPIRES] <= now then
      drop(position, message)
    else
      change(position, message, IS_READY, message[VISIBLE], '')
    end
  end
  return #due == BATCH
end

-- Adds a message behind all others. `message` is its record.
local function add(message, body)
  local position = string.format('%016.0f', call('HINCRBY', TOPIC, 'sequence', 1))
  write(position, message)
  call('HSET', BODIES, position, body)
  call('HSET', IDS, message[ID], position)
  call('ZADD', EXPIRY, int(message[EXPIRES]), position)
  shelve(position, message)
  if message[LANE] then
    call('ZADD', LANES, 0, in_lane(message, position))
    call('ZADD', LANES_DUE, 'NX', int(now), message[LANE])
  end
  return position
end

-- The topic must be swept at `moment` at the latest: returns that if nobody was told so before.
local function schedule(moment)
  local planned = call('HGET', TOPIC, 'sweep')
  if planned and tonumber(planned) <= moment then
    return ''
  end
  call('HSET', TOPIC, 'sweep', int(moment))
  return int(moment)
end

-- Takes a message out, on its way to another topic, which may be on another node: it stays in
-- LEAVING until it has arrived there. See transit.py.
local function leave(position, message, kind, target, ttl)
  local body = call('HGET', BODIES, position)
  local entry = cmsgpack.pack({ kind, target, ttl, now, message })
  call('HSET', LEAVING, position, string.format('%08d', #entry) .. entry .. body)
  drop(position, message)
end

-- All or some that is on its way, in pairs of position and entry.
local function departures(positions)
  local found = {}
  for _, position in ipairs(positions) do
    found[#found + 1] = { position, call('HGET', LEAVING, position) }
  end
  return found
end

local function sorted_by_position(found)
  table.sort(found, function(one, other) return one[1] < other[1] end)
  return found
end
