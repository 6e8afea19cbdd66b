-- POST texts as `input`, and count answers that have no vector. No two texts are alike, or after
-- TEXTS of them the first comes again:
-- wrk -s texts.lua URL -- MODEL TEXTS
local threads, count, model, texts = {}, 0, "", math.huge
wrong = 0

function setup(thread)
  table.insert(threads, thread)
end

function init(args)
  if args[1] and args[1] ~= "" then
    model = '"model":"' .. args[1] .. '",'
  end
  texts = tonumber(args[2]) or texts
  wrk.method = "POST"
  wrk.headers["Content-Type"] = "application/json"
end

function request()
  count = count % texts + 1
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
