-- Publishes one message, once.
--
-- KEYS: 1 the topic's stream, 2 the bucket's topics, 3 its index, 4 what this producer sent of late,
--       5 a rate-limit window of this bucket, if there is one to count in
-- ARGV: 1 sequence of this publish, 2 sequence up to which the producer has been told,
--       3 topic, 4 channel, 5 bucket number, 6 payload, 7 origin or '', 8 ttl in ms (0 = for ever),
--       9 wished ms of the id (0 = none), 10 messages kept per topic (0 = no limit, -1 = no
--       eventlog), and with KEYS[5]: 11 publishes per window, 12 its length in ms
-- Answers the id, or 0 where the rate limit is used up.
--
-- Redis does little else than run this, so it makes few calls and few texts. `%d` is a long here:
-- a Redis of 32 bits is refused.
local call, format, match, floor = redis.call, string.format, string.match, math.floor
local topic = ARGV[3]

local sent = call('HMGET', KEYS[4], ARGV[1], 'a', 't')
if sent[1] then return sent[1] ~= '0' and sent[1] or 0 end
local told = tonumber(ARGV[2])
local settled = tonumber(sent[2]) or told
if tonumber(ARGV[1]) <= settled then
  return redis.error_reply('STALE nobody waits for this publish')
end

local time = call('TIME')
local position = time[1] * 1000000 + time[2]
local now_ms = floor(position / 1000)

-- Notes what became of this publish, for when it is sent again. What a producer knows to be settled
-- is forgotten, many at a time.
local function remember(result)
  if sent[2] and told - settled < 64 and now_ms - (tonumber(sent[3]) or 0) < 20000 then
    call('HSET', KEYS[4], ARGV[1], result)
    return
  end
  call('HMSET', KEYS[4], ARGV[1], result, 'a', ARGV[2], 't', now_ms)
  if told - settled > 1000 then
    -- Most are not there.
    for _, old in ipairs(call('HKEYS', KEYS[4])) do
      if (tonumber(old) or math.huge) <= told then call('HDEL', KEYS[4], old) end
    end
  elseif told > settled then
    local old = {}
    for sequence = settled + 1, told do old[#old + 1] = format('%d', sequence) end
    call('HDEL', KEYS[4], unpack(old))
  end
  call('PEXPIRE', KEYS[4], 60000)
end

if KEYS[5] then
  local length = tonumber(ARGV[12])
  local window = format('%d', floor(now_ms / length))
  local use = call('HMGET', KEYS[5], 'w', 'n')
  local count = use[1] == window and tonumber(use[2]) or 0
  if count >= tonumber(ARGV[11]) then
    remember('0')
    return 0
  end
  call('HMSET', KEYS[5], 'w', window, 'n', count + 1)
  call('PEXPIRE', KEYS[5], length)
end

-- Of the bucket: its position, and what does not change here. Of the topic: the last message's id
-- and position, when its stream goes, and up to when the index says that it may have messages.
local state = call('HMGET', KEYS[2], '', topic)
local at, rest = match(state[1] or '', '^(%d+) (%d+ %d+%-%d+)$')
if at and tonumber(at) >= position then position = at + 1 end
local last, last_ms, last_n, last_at, kept, indexed =
  match(state[2] or '', '^((%d+)%-(%d+)) (%d+) (%-?%d+) (%d+)$')
if not last then
  -- A topic that is new may be one that was forgotten: it goes on above all that were.
  last, last_ms, last_n = match(rest or '', '((%d+)%-(%d+))$')
  if not last then last, last_ms, last_n = '0-0', 0, 0 end
  last_at, kept, indexed = '0', '0', '0'
end
if tonumber(last_at) >= position then position = last_at + 1 end
last_ms, last_n = tonumber(last_ms), tonumber(last_n)

local wished = tonumber(ARGV[9])
local ms, n = floor(position / 1000), position % 1000 * 64 + ARGV[5]
local says_position = true
if wished > 0 and wished >= last_ms then
  ms, n = wished, wished > last_ms and 0 or last_n + 1
  says_position = false
elseif ms < last_ms or (ms == last_ms and n <= last_n) then
  ms, n = last_ms, last_n + 1
  says_position = false
end

local id = format('%d-%d', ms, n)
local position_text = format('%d', position)
local ttl = tonumber(ARGV[8])
local expires = ttl > 0 and now_ms + ttl or 0
local expires_text = format('%d', expires)
local max = tonumber(ARGV[10])

-- First of all what does no harm alone: where a key is not ours, nothing else has happened. The
-- index is set ahead, so that it moves once a second.
local function index_topic()
  local reached = math.max(position, ms * 1000 + 999)
  if reached <= tonumber(indexed) then return end
  indexed = format('%d', reached + 1000000)
  call('ZADD', KEYS[3], indexed, topic)
end
index_topic()

if max >= 0 then
  local entry
  if max > 0 then
    entry = {'XADD', KEYS[1], 'MAXLEN', '~', ARGV[10], id, 'e', expires_text, 'p', last, 'm', ARGV[6]}
  else
    entry = {'XADD', KEYS[1], id, 'e', expires_text, 'p', last, 'm', ARGV[6]}
  end
  local size = #entry
  if ARGV[7] ~= '' then entry[size + 1], entry[size + 2], size = 'o', ARGV[7], size + 2 end
  -- Positions that the ids do not tell.
  if tonumber(last_at) ~= last_ms * 1000 + floor(last_n / 64) then
    entry[size + 1], entry[size + 2], size = 'q', last_at, size + 2
  end
  if not says_position then entry[size + 1], entry[size + 2] = 's', position_text end

  local added = redis.pcall(unpack(entry))
  if type(added) == 'table' then
    if not string.find(added.err, 'equal or smaller', 1, true) then return added end
    -- Somebody else has written to the stream: go on behind what is there.
    local info = call('XINFO', 'STREAM', KEYS[1])
    for i = 1, #info, 2 do
      if info[i] == 'last-generated-id' then ms, n = match(info[i + 1], '^(%d+)%-(%d+)$') end
    end
    ms, n = tonumber(ms), tonumber(n) + 1
    if n > 9007199254740991 then ms, n = ms + 1, 0 end
    id = format('%d-%d', ms, n)
    entry[max > 0 and 6 or 3], entry[size + 1], entry[size + 2] = id, 's', position_text
    call(unpack(entry))
    index_topic()
  end

  -- The stream goes with its last message. Its expiry is set ahead, so that it moves now and then
  -- only.
  local kept_ms = tonumber(kept)
  if expires == 0 then
    if kept_ms ~= -1 then call('PERSIST', KEYS[1]) end
    kept = '-1'
  elseif kept_ms ~= -1 and expires > kept_ms then
    kept = format('%d', expires + math.min(floor(ttl / 8), 10000))
    call('PEXPIREAT', KEYS[1], kept)
  end

  -- Now and then: expired messages at the front go, a few at a time.
  if position % 16 == 0 then
    if kept ~= '-1' and call('PTTL', KEYS[1]) == -1 then
      -- Somebody has deleted the stream, and with it the expiry that this one was thought to have.
      call('PEXPIREAT', KEYS[1], kept)
    end
    for _ = 1, 64 do
      local front = call('XRANGE', KEYS[1], '-', '+', 'COUNT', 1)[1]
      local fields = front and front[2]
      if not fields or fields[1] ~= 'e' then break end
      local over = tonumber(fields[2])
      if not over or over == 0 or over > now_ms then break end
      call('XDEL', KEYS[1], front[1])
    end
  end
end

call('HMSET', KEYS[2], '', position_text .. ' ' .. (rest or format('%d 0-0', now_ms)),
  topic, id .. ' ' .. position_text .. ' ' .. kept .. ' ' .. indexed)
call('PUBLISH', ARGV[4], '1 ' .. id .. ' ' .. position_text .. ' ' .. last .. ' ' .. last_at .. ' ' ..
  expires_text .. ' ' .. #ARGV[7] .. '\n' .. ARGV[7] .. ARGV[6])
remember(id)
return id
