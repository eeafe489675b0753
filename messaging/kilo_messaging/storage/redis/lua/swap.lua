-- KEYS: a hash, a version. ARGV: field, what it must hold ('' for nothing), what it is to hold, whether
-- the version grows. Whether it held that; the same call once more finds what it wrote.
local present = redis.call('HGET', KEYS[1], ARGV[1]) or ''
if present == ARGV[3] then
  return 1
elseif present ~= ARGV[2] then
  return 0
end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[3])
if ARGV[4] ~= '' then
  redis.call('INCR', KEYS[2])
end
return 1
