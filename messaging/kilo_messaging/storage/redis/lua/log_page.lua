-- ARGV: now, subscription, before which position, limit. Answers with position and line, newest first.
local found = {}
local from, past = '(' .. ARGV[2] .. '\0' .. ARGV[3], '[' .. ARGV[2] .. '\0'
for _, member in ipairs(call('ZREVRANGEBYLEX', LOG_OF, from, past, 'LIMIT', 0, tonumber(ARGV[4]))) do
  local position = string.sub(member, -16)
  found[#found + 1] = { position, call('HGET', LOG, position) }
end
return found
