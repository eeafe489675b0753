-- ARGV: now, subscription, after which member to go on ('' at first), since when the message was posted
-- (0: always), then positions (none: all). Answers with the member after which to go on ('' at the end),
-- how many there were, and the next moment that something is due.
local id, since = ARGV[2], tonumber(ARGV[4])
local head = id .. '\0' .. '1'
local only
if #ARGV > 4 then
  only = {}
  for number = 5, #ARGV do
    only[ARGV[number]] = true
  end
end
if not subscription(id) then
  return { '', 0, '' }
end
local from = ARGV[3] == '' and '[' .. head or '(' .. ARGV[3]
local members = call('ZRANGEBYLEX', DELIVERIES_OF, from, '(' .. head .. ':', 'LIMIT', 0, BATCH)
local count = 0
for _, member in ipairs(members) do
  local position = string.sub(member, -16)
  local delivery = delivery_at(position)
  local notice = notice_of(delivery)
  local posted = cmsgpack.unpack(string.sub(notice, 9, 8 + tonumber(string.sub(notice, 1, 8))))[CREATED]
  if delivery[ENDS] > now and posted >= since and (not only or only[position]) then
    change_delivery(position, delivery, {
      [DUE_AT] = now, [TRIES] = 0, [REASON] = '', [FAILED] = false,
    })
    if delivery[IN_LANE] then
      look_at_front(id, delivery[IN_LANE])
    end
    count = count + 1
  end
end
return { #members == BATCH and members[BATCH] or '', count, next_delivery() }
