-- Counts one publish in a rate-limit window whose limit lies in another bucket than the topic.
--
-- KEYS: 1 the window
-- ARGV: 1 publishes per window, 2 its length in ms
-- Answers 1, or 0 where the limit is used up.
local time = redis.call('TIME')
local length = tonumber(ARGV[2])
local window = string.format('%.0f', math.floor((time[1] * 1000 + math.floor(time[2] / 1000)) / length))
local use = redis.call('HMGET', KEYS[1], 'w', 'n')
local count = use[1] == window and tonumber(use[2]) or 0
if count >= tonumber(ARGV[1]) then return 0 end
redis.call('HMSET', KEYS[1], 'w', window, 'n', count + 1)
redis.call('PEXPIRE', KEYS[1], length)
return 1
