-- Which topics of the bucket have had messages since a position?
--
-- KEYS: 1 the bucket's topics, 2 its index
-- ARGV: 1 position
-- Answers how far the bucket is, then topic, position of its last message, topic, position ...
local topics = redis.call('ZRANGEBYSCORE', KEYS[2], '(' .. ARGV[1], '+inf')
local at = string.match(redis.call('HGET', KEYS[1], '') or '', '^(%d+) ')
local answer = {at or '0'}
for _, topic in ipairs(topics) do
  local position = string.match(redis.call('HGET', KEYS[1], topic) or '', '^%S+ (%d+) ')
  if position and tonumber(position) > tonumber(ARGV[1]) then
    answer[#answer + 1] = topic
    answer[#answer + 1] = position
  end
end
return answer
