-- Forgets topics of the bucket that have been idle for long and have no messages any more.
--
-- KEYS: 1 the bucket's topics, 2 its index
-- ARGV: 1 how long is long, in ms; 2 topics to look at; 3 what streams' names begin with
-- Answers how many were forgotten.
local time = redis.call('TIME')
local now_ms = time[1] * 1000 + math.floor(time[2] / 1000)
local horizon = string.format('%.0f', (now_ms - tonumber(ARGV[1])) * 1000)
local idle = redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', horizon, 'LIMIT', 0, ARGV[2])
if #idle == 0 then return 0 end

local at, birth, forgotten =
  string.match(redis.call('HGET', KEYS[1], '') or '', '^(%d+) (%d+) (%d+%-%d+)$')
local function parts(id)
  local ms, n = string.match(id or '', '^(%d+)%-(%d+)$')
  return tonumber(ms or 0), tonumber(n or 0)
end
local gone = 0
local gone_ms, gone_n = parts(forgotten)
for _, topic in ipairs(idle) do
  local last, kept =
    string.match(redis.call('HGET', KEYS[1], topic) or '', '^(%d+%-%d+) %d+ (%-?%d+) %d+$')
  kept = tonumber(kept or 0)
  if kept == -1 or kept > now_ms then
    -- Its stream is still there: looked at again when that goes.
    local later = kept == -1 and now_ms + tonumber(ARGV[1]) or kept
    redis.call('ZADD', KEYS[2], string.format('%.0f', later * 1000), topic)
  else
    local ms, n = parts(last)
    if ms > gone_ms or (ms == gone_ms and n > gone_n) then gone_ms, gone_n = ms, n end
    redis.call('DEL', ARGV[3] .. topic) -- it is gone, unless somebody has meddled with its expiry
    redis.call('HDEL', KEYS[1], topic)
    redis.call('ZREM', KEYS[2], topic)
    gone = gone + 1
  end
end
if at and gone > 0 then
  redis.call('HSET', KEYS[1], '', at .. ' ' .. birth .. string.format(' %.0f-%.0f', gone_ms, gone_n))
end
return gone
