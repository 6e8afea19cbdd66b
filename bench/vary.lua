-- Requests for many targets, so that no two that follow each other are alike.
local requests, count, next = {}, 97, 0

init = function()
  for i = 1, count do
    requests[i] = wrk.format("GET", "/index-" .. i .. "/_doc/" .. i * 7919)
  end
end

request = function()
  next = next % count + 1
  return requests[next]
end
