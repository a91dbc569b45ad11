-- Sends the requests of a file in their order; each ends with a NUL byte.
-- Arguments: the file, the byte to begin at, and `again` (from the start after the end) or `once` (then exit).

local BLOCK = 4 * 1024 * 1024
local file, chunk, at, base, once
local threads = {}

function setup(thread)
  table.insert(threads, thread)
end

function init(args)
  file = assert(io.open(args[1], "rb"))
  base = tonumber(args[2])
  file:seek("set", base)
  once = args[3] == "once"
  chunk, at = "", 1
  position = base
end

local function read_more()
  local rest = chunk:sub(at)
  base = base + at - 1
  local block = file:read(BLOCK)
  if not block then
    if once then
      os.exit(0)
    end
    file:seek("set", 0)
    block, rest, base = file:read(BLOCK), "", 0
  end
  chunk, at = rest .. block, 1
end

function request()
  local stop = chunk:find("\0", at, true)
  while not stop do
    read_more()
    stop = chunk:find("\0", at, true)
  end
  local one = chunk:sub(at, stop - 1)
  at = stop + 1
  position = base + at - 1
  return one
end

function done(summary, latency, requests)
  local errors = summary.errors
  io.write(string.format(
    '\n{"requests": %d, "seconds": %.6f, "p50": %.3f, "p99": %.3f, "position": %d, "refused": %d, "broken": %d}\n',
    summary.requests, summary.duration / 1e6, latency:percentile(50) / 1e3, latency:percentile(99) / 1e3,
    threads[1]:get("position"), errors.status, errors.connect + errors.read + errors.write + errors.timeout
  ))
end
