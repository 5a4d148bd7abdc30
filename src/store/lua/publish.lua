-- Publishes one message, once.
--
-- KEYS: 1 the topic's stream, 2 the bucket's topics, 3 its index, 4 what this producer sent of late,
--       5 a rate-limit window of this bucket, if there is one to count in
-- ARGV: 1 sequence of this publish, 2 sequence up to which the producer has been told,
--       3 topic, 4 channel, 5 bucket number, 6 payload, 7 origin or '', 8 ttl in ms (0 = for ever),
--       9 wished ms of the id (0 = none), 10 messages kept per topic (0 = no limit, -1 = no
--       eventlog), and with KEYS[5]: 11 publishes per window, 12 its length in ms
-- Answers the id, or 0 where the rate limit is used up.
local topic = ARGV[3]

local sent = redis.call('HMGET', KEYS[4], ARGV[1], 'a')
if sent[1] then return sent[1] end
local settled = tonumber(sent[2] or ARGV[2])
if tonumber(ARGV[1]) <= settled then return redis.error_reply('STALE nobody waits for this publish') end

local time = redis.call('TIME')
local now_us = time[1] * 1000000 + time[2]
local now_ms = math.floor(now_us / 1000)

if KEYS[5] then
  local length = tonumber(ARGV[12])
  local window = string.format('%.0f', math.floor(now_ms / length))
  local use = redis.call('HMGET', KEYS[5], 'w', 'n')
  local count = use[1] == window and tonumber(use[2]) or 0
  if count >= tonumber(ARGV[11]) then return 0 end
  redis.call('HMSET', KEYS[5], 'w', window, 'n', count + 1)
  redis.call('PEXPIRE', KEYS[5], length)
end

-- The position of an id that followed the clock; of others it says something else.
local function position_of(ms, n)
  return ms * 1000 + math.floor(n / 64)
end

local state = redis.call('HMGET', KEYS[2], '', topic)
local at, birth, forgotten = string.match(state[1] or '', '^(%d+) (%d+) (%S+)$')
local position = math.max(tonumber(at or 0) + 1, now_us)
local last, last_at, kept = string.match(state[2] or '', '^(%d+%-%d+) (%d+) (%-?%d+)$')
last, last_at, kept = last or '0-0', tonumber(last_at or 0), tonumber(kept or 0)
local last_ms, last_n = string.match(last, '^(%d+)%-(%d+)$')
last_ms, last_n = tonumber(last_ms), tonumber(last_n)

local wished = tonumber(ARGV[9])
local ms, n = math.floor(position / 1000), position % 1000 * 64 + tonumber(ARGV[5])
if wished > 0 and wished >= last_ms then
  ms, n = wished, wished > last_ms and 0 or last_n + 1
elseif ms < last_ms or (ms == last_ms and n <= last_n) then
  ms, n = last_ms, last_n + 1
end

local ttl = tonumber(ARGV[8])
local expires = ttl > 0 and now_ms + ttl or 0
local id = string.format('%.0f-%.0f', ms, n)
local max = tonumber(ARGV[10])

-- First of all what does no harm alone: where a key is not ours, nothing else has happened.
local function index_topic()
  redis.call('ZADD', KEYS[3], string.format('%.0f', math.max(position, ms * 1000 + 999)), topic)
end
index_topic()

if max >= 0 then
  local entry = {'XADD', KEYS[1]}
  if max > 0 then entry[3], entry[4], entry[5] = 'MAXLEN', '~', ARGV[10] end
  local id_at = #entry + 1
  entry[id_at] = id
  for _, word in ipairs({'e', string.format('%.0f', expires), 'p', last, 'm', ARGV[6]}) do
    entry[#entry + 1] = word
  end
  if ARGV[7] ~= '' then entry[#entry + 1] = 'o'; entry[#entry + 1] = ARGV[7] end
  if last_at ~= position_of(last_ms, last_n) then
    entry[#entry + 1] = 'q'; entry[#entry + 1] = string.format('%.0f', last_at)
  end
  local place = #entry
  if position ~= position_of(ms, n) then
    entry[place + 1] = 's'; entry[place + 2] = string.format('%.0f', position)
  end
  local added = redis.pcall(unpack(entry))
  if type(added) == 'table' and added.err then
    if not string.find(added.err, 'equal or smaller', 1, true) then return added end
    -- Somebody else has written to the stream: go on behind what is there.
    local info = redis.call('XINFO', 'STREAM', KEYS[1])
    for i = 1, #info, 2 do
      if info[i] == 'last-generated-id' then ms, n = string.match(info[i + 1], '^(%d+)%-(%d+)$') end
    end
    ms, n = tonumber(ms), tonumber(n) + 1
    id = string.format('%.0f-%.0f', ms, n)
    entry[id_at], entry[place + 1], entry[place + 2] = id, 's', string.format('%.0f', position)
    redis.call(unpack(entry))
    index_topic()
  end

  -- The stream goes with its last message. Its expiry is set ahead, so that it moves now and then
  -- only.
  if expires == 0 then
    if kept ~= -1 then redis.call('PERSIST', KEYS[1]) end
    kept = -1
  elseif kept ~= -1 and expires > kept then
    kept = expires + math.min(math.floor(ttl / 8), 10000)
    redis.call('PEXPIREAT', KEYS[1], string.format('%.0f', kept))
  end

  -- Now and then: expired messages at the front go, a few at a time.
  if position % 16 == 0 then
    if kept ~= -1 and redis.call('PTTL', KEYS[1]) == -1 then
      -- Somebody has deleted the stream, and with it the expiry that this one was thought to have.
      redis.call('PEXPIREAT', KEYS[1], string.format('%.0f', kept))
    end
    for _ = 1, 64 do
      local front = redis.call('XRANGE', KEYS[1], '-', '+', 'COUNT', 1)[1]
      local fields = front and front[2]
      if not fields or fields[1] ~= 'e' then break end
      local over = tonumber(fields[2])
      if not over or over == 0 or over > now_ms then break end
      redis.call('XDEL', KEYS[1], front[1])
    end
  end
end

redis.call('HMSET', KEYS[2],
  '', string.format('%.0f ', position) .. (birth or string.format('%.0f', now_ms)) .. ' ' ..
    (forgotten or '0-0'),
  topic, id .. string.format(' %.0f %.0f', position, kept))

redis.call('PUBLISH', ARGV[4], '1 ' .. id .. string.format(' %.0f ', position) .. last ..
  string.format(' %.0f %.0f %d\n', last_at, expires, #ARGV[7]) .. ARGV[7] .. ARGV[6])

-- What a producer knows to be settled is forgotten. Its own sequence says where to go on.
local told = tonumber(ARGV[2])
if told > settled or not sent[2] then
  redis.call('HMSET', KEYS[4], ARGV[1], id, 'a', ARGV[2])
  for old = settled + 1, told do redis.call('HDEL', KEYS[4], string.format('%.0f', old)) end
  redis.call('PEXPIRE', KEYS[4], 60000)
else
  redis.call('HSET', KEYS[4], ARGV[1], id)
end
return id
