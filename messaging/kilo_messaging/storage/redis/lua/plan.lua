-- KEYS: a sorted set of tags by moment. ARGV: how ZADD is to go about it, moment, tag.
return redis.call('ZADD', KEYS[1], ARGV[1], ARGV[2], ARGV[3])
