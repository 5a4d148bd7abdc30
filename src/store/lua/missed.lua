-- Messages of one topic behind a position, oldest first.
--
-- KEYS: 1 the topic's stream
-- ARGV: 1 position, 2 id to begin behind ('' = not known), 3 messages at most, 4 bytes at most
-- Answers 1 where there is more and else 0, then the entries.
local from = tonumber(ARGV[1])

local function position_of(entry)
  local fields = entry[2]
  for i = 1, #fields, 2 do
    if fields[i] == 's' then return tonumber(fields[i + 1]) or 0 end
  end
  local ms, n = string.match(entry[1], '^(%d+)%-(%d+)$')
  return ms * 1000 + math.floor(n / 64)
end

local function behind(id)
  local ms, n = string.match(id, '^(%d+)%-(%d+)$')
  return ms .. string.format('-%.0f', n + 1)
end

-- The id to begin at, where none is known: the first whose position is behind.
local function look_back()
  local first, last = '+', '+'
  while true do
    local entries = redis.call('XREVRANGE', KEYS[1], last, '-', 'COUNT', 100)
    for i, entry in ipairs(entries) do
      if position_of(entry) <= from then return first end
      first = entry[1]
      if i == #entries then last = entry[1] end
    end
    if #entries < 100 then return #entries > 0 and first or first end
  end
end

local start = ARGV[2] ~= '' and behind(ARGV[2]) or look_back()
if start == '+' then return {0} end
local answer, bytes, most = {0}, 0, tonumber(ARGV[3])
while #answer <= most and bytes <= tonumber(ARGV[4]) do
  local entries = redis.call('XRANGE', KEYS[1], start, '+', 'COUNT', 20)
  for _, entry in ipairs(entries) do
    if position_of(entry) > from then
      answer[#answer + 1] = entry
      for _, text in ipairs(entry[2]) do bytes = bytes + #text end
    end
    start = behind(entry[1])
  end
  if #entries < 20 then return answer end
end
answer[1] = 1
return answer
