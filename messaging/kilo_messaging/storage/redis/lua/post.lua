-- ARGV: now, the version of the topic that the messages were made for, the key of a post that is made
-- once ('' for none), until when deduplication ids count, the records, then the bodies in their order.
-- A record has one more field here: the deduplication id, or ''. Where subscriptions want something of
-- it, one more list comes last: for each message false, or who, when it is due, and its lane. Answers
-- with when to sweep, what was kept, and when the first delivery is due ('' if there is none).
local topic = call('HMGET', TOPIC, 'version', 'metadata', 'created')
if topic[1] ~= ARGV[2] then
  return { 'stale', topic[1] or '', topic[2] or '', topic[3] or '' }
end
if ARGV[3] ~= '' then
  if call('ZSCORE', ONCE, ARGV[3]) then
    return { 'known' }
  end
  call('ZADD', ONCE, int(now), ARGV[3])
end

local window = tonumber(ARGV[4])
local soonest
local kept = {}

local function note(moment)
  soonest = soonest and math.min(soonest, moment) or moment
end

local function id_kept(id, dedup)
  if dedup == '' then
    return id
  end
  local packed = call('HGET', DEDUP, dedup)
  local noted = packed and cmsgpack.unpack(packed)
  if noted and noted[2] > now then
    return noted[1]
  end
  call('HSET', DEDUP, dedup, cmsgpack.pack({ id, window }))
  call('ZADD', DEDUP_EXPIRY, int(window), dedup)
  note(window)
  return id
end

local records = cmsgpack.unpack(ARGV[5])
local wanted = ARGV[6 + #records] and cmsgpack.unpack(ARGV[6 + #records]) or {}
local due

for number, message in ipairs(records) do
  local dedup = table.remove(message)
  local id = id_kept(message[ID], dedup)
  local position = ''
  if id == message[ID] then
    -- It is there already if this is the same call once more, since its answer was lost.
    position = call('HGET', IDS, id)
    if not position then
      position = add(message, ARGV[5 + number])
      if wanted[number] then
        local moment = record_for(position, message, ARGV[5 + number], wanted[number])
        due = due and math.min(due, moment) or moment
      end
    end
    note(message[EXPIRES])
  end
  kept[number] = { id, position }
end
return { 'posted', soonest and schedule(soonest) or '', kept, due and int(due) or '' }
