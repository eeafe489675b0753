-- ARGV: now, the topic's new version, id, state, expiry, subscriber, batch, document. Answers with the id
-- under which it is kept, with that of the confirmed subscription that is there, or with 'missing'.
if call('EXISTS', TOPIC) == 0 then
  return { 'missing' }
end
local id, subscriber = ARGV[3], ARGV[6]
local present = call('HGET', SUBSCRIBERS, subscriber)
local record = present and subscription(present)
if record and present ~= id then
  if record[SUB_STATE] ~= 'unconfirmed' then
    return { 'exists', present }
  end
  id = present
elseif present and not record then
  forget(present, BATCH)
end
local kept = { ARGV[4], tonumber(ARGV[5]), subscriber, tonumber(ARGV[7]), ARGV[8] }
call('HSET', SUBSCRIPTIONS, id, cmsgpack.pack(kept))
call('HSET', SUBSCRIBERS, subscriber, id)
call('ZADD', SUBSCRIPTIONS_EXPIRY, ARGV[5], id)
call('HDEL', HEALTH, id)
new_version(ARGV[2])
return { 'kept', id }
