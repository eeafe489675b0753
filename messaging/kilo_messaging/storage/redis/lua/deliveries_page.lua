-- ARGV: now, subscription, '1' for those that failed, after which position, limit. Answers with position,
-- record and notice of each.
local found = {}
if call('HEXISTS', SUBSCRIPTIONS, ARGV[2]) == 0 then
  return found
end
local head = ARGV[2] .. '\0' .. ARGV[3]
local from, past, want = '(' .. head .. ARGV[4], '(' .. head .. ':', tonumber(ARGV[5])
while #found < want do
  local members = call('ZRANGEBYLEX', DELIVERIES_OF, from, past, 'LIMIT', 0, want)
  for _, member in ipairs(members) do
    local position = string.sub(member, -16)
    local delivery = delivery_at(position)
    if delivery[ENDS] > now and #found < want then
      found[#found + 1] = { position, cmsgpack.pack(delivery), notice_of(delivery) }
    end
    from = '(' .. member
  end
  if #members < want then
    break
  end
end
return found
