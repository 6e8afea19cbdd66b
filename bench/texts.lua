-- POST texts of which no two are alike, as `input`; and count answers that have no vector:
-- wrk -s texts.lua URL -- MODEL
local threads, count, model = {}, 0, ""
wrong = 0

function setup(thread)
  table.insert(threads, thread)
end

function init(args)
  if args[1] then
    model = '"model":"' .. args[1] .. '",'
  end
  wrk.method = "POST"
  wrk.headers["Content-Type"] = "application/json"
end

function request()
  count = count + 1
  return wrk.format(nil, nil, nil, "{" .. model .. '"input":"a short text to embed, number ' .. count .. '"}')
end

function response(status, headers, body)
  if not body:find('"embedding":%s*%[%s*%-?%d') then
    wrong = wrong + 1
  end
end

function done()
  for _, thread in ipairs(threads) do
    print("Wrong answers: " .. thread:get("wrong"))
  end
end
