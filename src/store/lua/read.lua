-- The newest messages of the bucket behind a point, merged over the topics that a filter matches;
-- and a mark (see mark.lua) for the broker that asks: the answer holds what was published before.
--
-- KEYS: 1 the bucket's topics, 2 its index, 3 the topic's stream (of a pattern: none)
-- ARGV: 1 the broker's channel, 2 first id that is asked for, 3 id below which nothing is needed
--       any more, 4 messages at most, 5 bytes of payload at most, 6 messages kept per topic (0 = no
--       limit), 7 the id that the asker has seen last, or '', 8 what streams' names begin with,
--       9 the topic, or '' for a pattern, then 10 and perhaps 11 Lua patterns
-- Answers position, now in ms, birth in ms (-1 = nothing was ever published), 1 where something
-- behind the point is missing, 1 where a message had the id seen last, then topic, entry, topic,
-- entry ... newest first.
local function id_of(text)
  local ms, n = string.match(text, '^(%d+)%-(%d+)$')
  return tonumber(ms), tonumber(n)
end

local function is_before(a_ms, a_n, b_ms, b_n)
  return a_ms < b_ms or (a_ms == b_ms and a_n < b_n)
end

local time = redis.call('TIME')
local now_us = time[1] * 1000000 + time[2]
local now_ms = math.floor(now_us / 1000)
local at, birth, forgotten =
  string.match(redis.call('HGET', KEYS[1], '') or '', '^(%d+) (%d+) (%d+%-%d+)$')
local position = string.format('%.0f', math.max(tonumber(at or 0) + 1, now_us))
local first_ms, first_n = id_of(ARGV[2])
local floor_ms, floor_n = id_of(ARGV[3])
local max_count, max_bytes, max_kept = tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6])
local seen, is_known, is_missing = ARGV[7], false, false
-- Only of an id from before the bucket's first message it is asked whether it is known.
local is_old = seen ~= '' and birth and id_of(seen) < tonumber(birth)

local function is_wanted(topic)
  for i = 10, #ARGV do
    if string.find(topic, ARGV[i]) then return true end
  end
  return false
end

local function was_forgotten()
  if not forgotten then return false end
  local ms, n = id_of(forgotten)
  return ms > 0 and not is_before(ms, n, first_ms, first_n)
end

-- One topic with what is left of it: `ms` and `n` are the newest id not yet taken, at first by
-- hearsay, since its stream is read only when its turn comes.
local cursors = {}

local function add_topic(topic, state)
  local last = string.match(state or '', '^(%d+%-%d+) ')
  if not last then
    if state then is_missing = true end
    return
  end
  local key = ARGV[8] .. topic
  if is_old and not is_known then
    is_known = last == seen or #redis.call('XRANGE', key, seen, seen, 'COUNT', 1) > 0
  end
  local ms, n = id_of(last)
  if is_before(ms, n, first_ms, first_n) then return end
  cursors[#cursors + 1] = {topic = topic, key = key, ms = ms, n = n, owed = last, chunk = {},
    place = 1, size = 8, taken = 0, to = '+'}
end

local function sift(i)
  local moving = cursors[i]
  while true do
    local child = 2 * i
    if child > #cursors then break end
    local other = cursors[child + 1]
    if other and is_before(cursors[child].ms, cursors[child].n, other.ms, other.n) then
      child = child + 1
    end
    local top = cursors[child]
    if not is_before(moving.ms, moving.n, top.ms, top.n) then break end
    cursors[i] = top
    i = child
  end
  cursors[i] = moving
end

local function drop_top()
  local last = table.remove(cursors)
  if #cursors > 0 then
    cursors[1] = last
    sift(1)
  end
end

local function field(fields, name)
  for i = 1, #fields, 2 do
    if fields[i] == name then return fields[i + 1] end
  end
  return ''
end

-- The newest entry of the cursor, or nil at its end. Says that something is missing where the
-- oldest one that there is names a predecessor behind the point, or where there are none at all.
local function entry_of(cursor)
  if cursor.place <= #cursor.chunk then return cursor.chunk[cursor.place] end
  if cursor.is_whole then
    local ms, n = id_of(cursor.owed)
    if not is_before(ms, n, first_ms, first_n) then is_missing = true end
    return nil
  end
  -- From the last one on, once more: ids may have more digits than numbers here.
  cursor.chunk = redis.call('XREVRANGE', cursor.key, cursor.to, ARGV[2], 'COUNT', cursor.size)
  cursor.is_whole = #cursor.chunk < cursor.size
  cursor.place = cursor.to ~= '+' and #cursor.chunk > 0 and cursor.chunk[1][1] == cursor.to and 2 or 1
  cursor.size = math.min(cursor.size * 2, 128)
  if #cursor.chunk > 0 then
    cursor.to = cursor.chunk[#cursor.chunk][1]
  end
  return entry_of(cursor)
end

if ARGV[9] ~= '' then
  local state = redis.call('HGET', KEYS[1], ARGV[9])
  if not state then is_missing = was_forgotten() end
  add_topic(ARGV[9], state)
else
  is_missing = was_forgotten()
  local from = string.format('%.0f', first_ms * 1000)
  for _, topic in ipairs(redis.call('ZRANGEBYSCORE', KEYS[2], from, '+inf')) do
    if is_wanted(topic) then add_topic(topic, redis.call('HGET', KEYS[1], topic)) end
  end
  for i = math.floor(#cursors / 2), 1, -1 do sift(i) end
end

local answer, count, bytes = {position, now_ms, tonumber(birth or -1), 0, 0}, 0, 0
while #cursors > 0 do
  local top = cursors[1]
  local entry = entry_of(top)
  if not entry then
    drop_top()
  else
    local ms, n = id_of(entry[1])
    if ms ~= top.ms or n ~= top.n then
      top.ms, top.n = ms, n
      sift(1)
    elseif max_kept > 0 and top.taken >= max_kept then
      is_missing = true
      drop_top()
    elseif count >= max_count or is_before(ms, n, floor_ms, floor_n) then
      is_missing = true
      break
    else
      local expires = tonumber(string.match(field(entry[2], 'e'), '^%d+$')) or 0
      local before = string.match(field(entry[2], 'p'), '^%d+%-%d+$')
      if before then
        if entry[1] ~= top.owed then is_missing = true end
        top.owed = before
      end
      top.place, top.taken = top.place + 1, top.taken + 1
      if expires ~= 0 and expires <= now_ms then
        is_missing = true
      elseif bytes + #field(entry[2], 'm') > max_bytes then
        is_missing = true
        break
      else
        bytes = bytes + #field(entry[2], 'm')
        answer[#answer + 1] = top.topic
        answer[#answer + 1] = entry
        count = count + 1
      end
    end
  end
end
answer[4], answer[5] = is_missing and 1 or 0, is_known and 1 or 0

-- A Redis that is full refuses this, and the publishes that it would be good for.
if at then redis.pcall('HSET', KEYS[1], '', position .. ' ' .. birth .. ' ' .. forgotten) end
redis.call('PUBLISH', ARGV[1], position .. ' 0')
return answer
