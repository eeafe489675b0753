-- KEYS: a sorted set of tags by moment. ARGV: tag, the moment it was put off to, the next one or ''.
-- What was planned meanwhile counts if it comes sooner.
local present = tonumber(redis.call('ZSCORE', KEYS[1], ARGV[1]) or '')
local put_off, following = tonumber(ARGV[2]), tonumber(ARGV[3])
if present and present < put_off then
  if following and following < present then
    redis.call('ZADD', KEYS[1], ARGV[3], ARGV[1])
  end
elseif following then
  redis.call('ZADD', KEYS[1], ARGV[3], ARGV[1])
else
  redis.call('ZREM', KEYS[1], ARGV[1])
end
return 1
