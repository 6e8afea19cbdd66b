-- POST a file, and count answers that are not what is wanted: wrk -s post.lua URL -- FILE WANTED
local threads, wanted = {}, nil
wrong = 0

function setup(thread)
  table.insert(threads, thread)
end

function init(args)
  local file = assert(io.open(args[1]))
  wrk.method = "POST"
  wrk.body = file:read("*a")
  wrk.headers["Content-Type"] = "application/x-ndjson"
  wanted = args[2]
  file:close()
end

function response(status, headers, body)
  if not body:find(wanted, 1, true) then
    wrong = wrong + 1
  end
end

function done()
  for _, thread in ipairs(threads) do
    print("Wrong answers: " .. thread:get("wrong"))
  end
end
