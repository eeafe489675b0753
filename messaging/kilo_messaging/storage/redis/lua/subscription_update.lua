-- ARGV: now, the topic's new version, id, the record that is changed, state, expiry, subscriber,
-- batch, document, health ('' to leave it, 'well' for none). Answers 'kept', 'changed' (it was another record),
-- or with the id of the one that has the subscriber.
local id, subscriber = ARGV[3], ARGV[7]
if call('HGET', SUBSCRIPTIONS, id) ~= ARGV[4] then
  return { 'changed' }
end
local holder = call('HGET', SUBSCRIBERS, subscriber)
if holder and holder ~= id then
  if subscription(holder) then
    return { 'exists', holder }
  end
  forget(holder, BATCH)
end
local before = cmsgpack.unpack(ARGV[4])[SUB_SUBSCRIBER]
if before ~= subscriber then
  call('HDEL', SUBSCRIBERS, before)
end
local kept = { ARGV[5], tonumber(ARGV[6]), subscriber, tonumber(ARGV[8]), ARGV[9] }
call('HSET', SUBSCRIPTIONS, id, cmsgpack.pack(kept))
call('HSET', SUBSCRIBERS, subscriber, id)
call('ZADD', SUBSCRIPTIONS_EXPIRY, ARGV[6], id)
if ARGV[10] == 'well' then
  call('HDEL', HEALTH, id)
elseif ARGV[10] ~= '' then
  call('HSET', HEALTH, id, ARGV[10])
end
new_version(ARGV[2])
return { 'kept', next_delivery() }
