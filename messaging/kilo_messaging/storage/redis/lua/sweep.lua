-- ARGV: now, limit, keys used before this are forgotten, when journeys ended that count as old.
-- Answers with how many things were removed, when to come again ('' if there is nothing), what is on
-- its way, the age of the oldest key ('' if there is none), whether anything is left here, and some
-- of the old journeys.
local left = tonumber(ARGV[2])

local function over(set, past)
  if left <= 0 then
    return {}
  end
  local found = call('ZRANGEBYSCORE', set, '-inf', past, 'LIMIT', 0, left)
  left = left - #found
  return found
end

for _, position in ipairs(over(EXPIRY, int(now))) do
  drop(position, read(position))
end
for _, claim in ipairs(over(CLAIMS_EXPIRY, int(now))) do
  call('ZREM', CLAIMS_EXPIRY, claim)
  call('HDEL', CLAIMS, claim)
end
for _, dedup in ipairs(over(DEDUP_EXPIRY, int(now))) do
  call('ZREM', DEDUP_EXPIRY, dedup)
  call('HDEL', DEDUP, dedup)
end
for _, key in ipairs(over(ONCE, '(' .. ARGV[3])) do
  call('ZREM', ONCE, key)
end

local soonest = ''
for _, set in ipairs({ EXPIRY, CLAIMS_EXPIRY, DEDUP_EXPIRY }) do
  local moment = call('ZRANGE', set, 0, 0, 'WITHSCORES')[2]
  if moment and (soonest == '' or tonumber(moment) < tonumber(soonest)) then
    soonest = moment
  end
end
local here = call('EXISTS', TOPIC)
if here == 1 then
  if soonest == '' then
    call('HDEL', TOPIC, 'sweep')
  else
    call('HSET', TOPIC, 'sweep', soonest)
  end
end
local stays = here == 1 or call('EXISTS', LEAVING, ONCE, ARRIVED) > 0
local on_the_way = call('HRANDFIELD', LEAVING, 100) or {}
local oldest = call('ZRANGE', ONCE, 0, 0, 'WITHSCORES')[2] or ''
table.sort(on_the_way)
local old = call('ZRANGEBYSCORE', ARRIVED, '-inf', ARGV[4], 'LIMIT', 0, 100)
return { tonumber(ARGV[2]) - left, soonest, departures(on_the_way), oldest, stays and 1 or 0, old }
