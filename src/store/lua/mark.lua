-- Tells one broker how far the bucket is: what was published before has a position up to the
-- mark's, and comes before it on the broker's connection; what comes after has a higher one.
--
-- KEYS: 1 the bucket's topics
-- ARGV: 1 the broker's channel, 2 the number of the mark
-- Answers the position.
local time = redis.call('TIME')
local now_us = time[1] * 1000000 + time[2]
local state = redis.call('HGET', KEYS[1], '')
local at, birth, forgotten = string.match(state or '', '^(%d+) (%d+) (%S+)$')
local position = string.format('%.0f', math.max(tonumber(at or 0) + 1, now_us))
-- A Redis that is full refuses this, and the publishes that it would be good for.
if at then redis.pcall('HSET', KEYS[1], '', position .. ' ' .. birth .. ' ' .. forgotten) end
redis.call('PUBLISH', ARGV[1], position .. ' ' .. ARGV[2])
return position
