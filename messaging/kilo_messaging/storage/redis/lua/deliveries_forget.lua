-- ARGV: now, subscription, the topic's new version. Whether there may be more of it.
if call('HEXISTS', SUBSCRIPTIONS, ARGV[2]) == 1 then
  new_version(ARGV[3])
end
return forget(ARGV[2], BATCH) > 0 and 1 or 0
