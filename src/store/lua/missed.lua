-- Messages of one topic behind a position, oldest first.
--
-- KEYS: 1 the topic's stream
-- ARGV: 1 position, 2 id to begin behind ('' = not known), 3 messages at most, 4 bytes at most
-- Answers 1 where there is more and else 0, then the entries.
local from = tonumber(ARGV[1])

-- nil: nobody of ours has written it.
local function position_of(entry)
  local fields, is_ours, position = entry[2], false, nil
  for i = 1, #fields, 2 do
    if fields[i] == 'm' then is_ours = true end
    if fields[i] == 's' then position = string.match(fields[i + 1], '^%d+$') or '0' end
  end
  if not is_ours then return nil end
  if position then return tonumber(position) end
  local ms, n = string.match(entry[1], '^(%d+)%-(%d+)$')
  return ms * 1000 + math.floor(n / 64)
end

-- The id to begin at, where none is known: the first whose position is behind.
local function look_back()
  local first, last = '+', '+'
  while true do
    local entries = redis.call('XREVRANGE', KEYS[1], last, '-', 'COUNT', 100)
    for i, entry in ipairs(entries) do
      local position = position_of(entry)
      if position and position <= from then return first end
      first = entry[1]
      if i == #entries then last = entry[1] end
    end
    if #entries < 100 then return first end
  end
end

-- Ids may have more digits than numbers here: what is begun behind is read once more.
local start, last = ARGV[2], ARGV[2]
if start == '' then start = look_back() end
if start == '+' then return {0} end
local answer, bytes, most = {0}, 0, tonumber(ARGV[3])
while #answer <= most and bytes <= tonumber(ARGV[4]) do
  local entries = redis.call('XRANGE', KEYS[1], start, '+', 'COUNT', 20)
  for _, entry in ipairs(entries) do
    if entry[1] ~= last and (position_of(entry) or from + 1) > from then
      answer[#answer + 1] = entry
      for _, text in ipairs(entry[2]) do bytes = bytes + #text end
    end
    start = entry[1]
  end
  last = start
  if #entries < 20 then return answer end
end
answer[1] = 1
return answer
