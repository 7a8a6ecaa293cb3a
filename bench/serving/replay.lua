-- wrk -s replay.lua URL -- FILE OFFSET [NAME VALUE]…
--
-- Sends the requests of FILE in turn, starting at line OFFSET. A line has method, path, bearer token and body, separated
-- by tabs. NAME VALUE are headers of every request. Prints one line of JSON at the end.

local requests, at = {}, 0

function init(args)
  local content_type = "application/json"
  for line in io.lines(args[1]) do
    local method, path, token, body = line:match("^([^\t]*)\t([^\t]*)\t([^\t]*)\t(.*)$")
    local headers = { ["Authorization"] = "Bearer " .. token }
    for i = 3, #args, 2 do
      headers[args[i]] = args[i + 1]
    end
    if body ~= "" then
      headers["Content-Type"] = content_type
    end
    requests[#requests + 1] = wrk.format(method, path, headers, body ~= "" and body or nil)
  end
  at = tonumber(args[2])
end

function request()
  at = at % #requests + 1
  return requests[at]
end

function done(summary, latency, _)
  local errors = summary.errors
  io.write(string.format(
    '\nRESULT {"requests": %d, "microseconds": %d, "p50": %d, "p99": %d, "not_2xx": %d, "broken": %d}\n',
    summary.requests, summary.duration, latency:percentile(50), latency:percentile(99), errors.status,
    errors.connect + errors.read + errors.write + errors.timeout
  ))
end
