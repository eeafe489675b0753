-- KEYS: a hash, a version. ARGV: field, what it must hold ('' for nothing), what it is to hold ('' for
-- nothing), whether the version grows. Whether it held that; the same call once more finds what it wrote.
local present = redis.call('HGET', KEYS[1], ARGV[1]) or ''
if present == ARGV[3] then
  return 1
elseif present ~= ARGV[2] then
  return 0
end
if ARGV[3] == '' then
  redis.call('HDEL', KEYS[1], ARGV[1])
else
  redis.call('HSET', KEYS[1], ARGV[1], ARGV[3])
end
if ARGV[4] ~= '' then
  redis.call('INCR', KEYS[2])
end
return 1
