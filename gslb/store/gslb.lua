#!lua name=gslb

-- How the store of gslb is written to: each function checks what it is given, writes it, and adds the whole of it to the
-- stream `events`. Every key has the hash tag {gslb}; the first and only KEYS argument is the one that is written, the
-- others follow from it, so that who calls needs to know no more than his own key.
--
--   FCALL gslb_report   1 {gslb}:report:EDGE   1 FIELD VALUE [FIELD VALUE ...]
--   FCALL gslb_override 1 {gslb}:override:ID   1 JSON
--
-- The argument before the content is the version of this library that the caller needs at least. Answers: 1, the id of
-- the entry and its running number; or 0 and the reason for which nothing was written. What concerns plans stands in
-- plans.lua, which is loaded behind this file as one text.

local VERSION = 2
local TAG = '{gslb}:'
local EVENTS, COUNT, SEEN, GAP = TAG .. 'events', TAG .. 'events:n', TAG .. 'seen', TAG .. 'gap'

local GAP_MS = 3000           -- nobody ages through a longer time without entries
local JUMP_MS = 10000         -- the newest entry is never taken to lie further ahead of the clock than this
local EXPIRE_MS = 604800000   -- 7 days
local VALID_MS = 10000        -- a report that does not say for how long it holds
local OVERRIDE_KEPT_S = 900
local EVENTS_KEPT = 10000
local MAX_FIELDS, MAX_NAME, MAX_VALUE, MAX_JSON = 32, 64, 64, 16384

local MAX_COUNT, MAX_BPS = '9223372036854775807', '1000000000000000'
local NUMBERS = {
  epoch = MAX_COUNT, seq = MAX_COUNT, since_ms = MAX_COUNT, load_bps = MAX_BPS, capacity_bps = MAX_BPS,
  headroom_milli = '1000', sessions = MAX_COUNT, valid_ms = '604800000',
}
local WORDS = {health4 = true, health6 = true}
local VERDICTS = {up = true, down = true, drain = true}
local OURS = {received_ms = true, slow_since_ms = true, kind = true, edge = true, n = true}

local function clock_ms()
  local now = redis.call('TIME')
  return tonumber(now[1]) * 1000 + math.floor(tonumber(now[2]) / 1000)
end

local function digits(number)
  return string.format('%.0f', number)
end

-- Decimal text without leading zeros, nil where it is none or above `most`. Numbers of 19 digits do not fit a double:
-- they are compared as text, the shorter one being the smaller.
local function decimal(text, most)
  if not text or #text == 0 or #text > 19 or text:find('%D') then return nil end
  text = text:gsub('^0+(%d)', '%1')
  if #text > #most or (#text == #most and text > most) then return nil end
  return text
end

local function not_above(one, other)
  if #one ~= #other then return #one < #other end
  return one <= other
end

local function quoted(text)
  if #text > 40 then text = text:sub(1, 40) .. '…' end
  return "'" .. text:gsub('[%c\127]', '?') .. "'"
end

-- The name after the key's prefix; nil and the reason where the key is another one.
local function named(keys, prefix, pattern, what)
  if #keys ~= 1 then return nil, 'give one key, ' .. TAG .. prefix .. what end
  local name = keys[1]:sub(#TAG + #prefix + 1)
  if keys[1]:sub(1, #TAG + #prefix) ~= TAG .. prefix or #name > 63 or not name:find(pattern) then
    return nil, quoted(keys[1]) .. ' is not a key ' .. TAG .. prefix .. what
  end
  return name
end

local function needs(args)
  local wanted = decimal(args[1] or '', '999999')
  if not wanted then return redis.error_reply('ERR the first argument is the version that is needed, such as 1') end
  if tonumber(wanted) > VERSION then
    return redis.error_reply('GSLBVERSION the function library gslb is version ' .. VERSION .. ', needed is ' .. wanted)
  end
end

-- As redis.call on one of the keys that the functions keep for themselves. What somebody else left there, a value of another
-- kind or a number that cannot be counted on, gives way.
local function kept(command, key, ...)
  local found = redis.pcall(command, key, ...)
  if type(found) == 'table' and found.err then
    if not (found.err:find('WRONGTYPE') or found.err:find('not an integer') or found.err:find('overflow')) then
      return redis.call(command, key, ...)
    end
    redis.call('UNLINK', key)
    found = redis.call(command, key, ...)
  end
  return found
end

-- Begins an entry: its number, its time, and the time of the newest one before it (nil: there is none). The time never
-- goes back. An entry that lies far ahead of the clock (it was set back, or somebody forged it), or after which none fits
-- into its millisecond, begins the stream anew, and the number that is passed over makes every follower read all again.
local function opened()
  local now, newest, forged = clock_ms(), nil, false
  local info = redis.pcall('XINFO', 'STREAM', EVENTS)
  if info.err then
    if info.err:find('WRONGTYPE') then
      redis.call('UNLINK', EVENTS)
    elseif not info.err:find('no such key') then
      return info
    end
  else
    for at = 1, #info, 2 do
      if info[at] == 'last-generated-id' then
        local ms, seq = info[at + 1]:match('^(%d+)-(%d+)$')
        newest, forged = tonumber(ms), #seq > 15
      end
    end
  end
  if newest and (forged or newest > now + JUMP_MS) then
    redis.call('UNLINK', EVENTS)
    kept('INCR', COUNT)
    newest = nil
  end
  return {n = kept('INCR', COUNT), now = math.max(now, newest or 0), newest = newest}
end

-- Keeps the time without entries up to this one. Where it begins while reports from before the last such time may still
-- hold, the two are one, lest those reports age through the first. Three never are: among writers that are all slow, one
-- that falls silent must age.
local function keep_gap(entry)
  local begin, joins = entry.newest or 0, '0'
  local last = kept('HMGET', GAP, 'begin_ms', 'end_ms', 'joins')
  local last_begin, last_end = tonumber(last[1] or '') or 0, tonumber(last[2] or '') or 0
  if begin > 0 and last_begin > 0 and last[3] ~= '1' and begin >= last_end and begin - last_end <= VALID_MS then
    begin, joins = last_begin, '1'
  end
  kept('HSET', GAP, 'begin_ms', digits(begin), 'end_ms', digits(entry.now), 'joins', joins)
end

local function added(entry, ...)
  if not entry.newest or entry.now - entry.newest > GAP_MS then
    keep_gap(entry)
  end
  local id = redis.call('XADD', EVENTS, 'MAXLEN', '~', EVENTS_KEPT, digits(entry.now) .. '-*', 'n', entry.n, ...)
  return {1, id, entry.n}
end

-- For how long nothing was heard of an edge when the newest entry came; time within the gap does not count.
local function silence_ms(received, newest)
  local gap = kept('HMGET', GAP, 'begin_ms', 'end_ms')
  local gap_begin, gap_end = tonumber(gap[1] or '') or 0, tonumber(gap[2] or '') or 0
  if received < gap_end then
    received = gap_begin == 0 and gap_end or received + gap_end - math.max(gap_begin, received)
  end
  return newest - math.min(received, newest)
end

-- When an edge came back last, and its slow start began.
local function slow_since(former, fields, entry)
  if not former then return '0' end
  local function up(said) return (said.health4 or 'up') == 'up' or (said.health6 or 'up') == 'up' end
  if not up(former) then
    if up(fields) then return digits(entry.now) end
  elseif former.received_ms and entry.newest then
    local valid = tonumber(former.valid_ms or '0')
    if silence_ms(tonumber(former.received_ms), entry.newest) > (valid > 0 and valid or VALID_MS) then
      return digits(entry.now)
    end
  end
  return former.slow_since_ms or '0'
end

-- The report that is held; nil where there is none, or none that can be read.
local function held(key)
  local found = redis.pcall('HMGET', key, 'epoch', 'seq', 'health4', 'health6', 'valid_ms', 'received_ms',
                            'slow_since_ms')
  if found.err then return nil end
  local former = {
    epoch = decimal(found[1], MAX_COUNT), seq = decimal(found[2], MAX_COUNT), health4 = found[3] or nil,
    health6 = found[4] or nil, valid_ms = decimal(found[5], NUMBERS.valid_ms),
    received_ms = decimal(found[6], MAX_COUNT), slow_since_ms = decimal(found[7], MAX_COUNT),
  }
  if former.epoch and former.seq then return former end
end

-- What the arguments from the second on spell, by field; nil and every fault at once where they do not.
local function told(args)
  local fields, unknown, faults = {}, 0, {}
  local function fault(key, reason) faults[#faults + 1] = key .. ': ' .. reason end
  if #args % 2 == 0 then return nil, 'fields and values come in pairs' end
  for at = 2, #args, 2 do
    local key, value = args[at], args[at + 1]
    if NUMBERS[key] then
      fields[key] = decimal(value, NUMBERS[key])
      if not fields[key] then
        fault(key, quoted(value) .. ' is not a decimal number from 0 to ' .. NUMBERS[key])
      end
    elseif WORDS[key] then
      fields[key] = value
      if not VERDICTS[value] then fault(key, quoted(value) .. ' is not one of up, down, drain') end
    elseif not OURS[key] then
      unknown = unknown + 1
      fields[key] = value
      if #key > MAX_NAME or not key:find('^[%w_]+$') then fault(quoted(key), 'is not the name of a field') end
      if #value > MAX_VALUE then fault(key:sub(1, MAX_NAME), 'is longer than ' .. MAX_VALUE .. ' bytes') end
      if unknown > MAX_FIELDS then return nil, 'more than ' .. MAX_FIELDS .. ' fields that are not known' end
    end
  end
  for _, key in ipairs({'epoch', 'seq'}) do
    if not fields[key] and not table.concat(faults, '; '):find(key .. ': ', 1, true) then fault(key, 'is missing') end
  end
  if #faults > 0 then return nil, table.concat(faults, '; ') end
  return fields
end

local function write_report(keys, args)
  local refused = needs(args)
  if refused then return refused end
  local edge, reason = named(keys, 'report:', '^%w[%w._-]*$', 'EDGE')
  if not edge then return {0, reason} end
  local fields
  fields, reason = told(args)
  if not fields then return {0, "report of edge '" .. edge .. "': " .. reason} end
  local former = held(keys[1])
  if former then
    local age_ms = former.received_ms and clock_ms() - tonumber(former.received_ms) or 0
    if age_ms >= EXPIRE_MS then former = nil end
  end
  if former then
    local same = former.epoch == fields.epoch
    if (same and not_above(fields.seq, former.seq)) or (not same and not_above(fields.epoch, former.epoch)) then
      return {0, "report of edge '" .. edge .. "': epoch " .. fields.epoch .. ', seq ' .. fields.seq
                 .. ' is not newer than epoch ' .. former.epoch .. ', seq ' .. former.seq}
    end
  end
  local entry = opened()
  if entry.err then return entry end
  fields.received_ms = digits(entry.now)
  fields.slow_since_ms = slow_since(former, fields, entry)
  local flat = {}
  for key, value in pairs(fields) do flat[#flat + 1] = key; flat[#flat + 1] = value end
  redis.call('UNLINK', keys[1])
  redis.call('HSET', keys[1], unpack(flat))
  redis.call('PEXPIRE', keys[1], EXPIRE_MS)
  kept('HSET', SEEN, edge, fields.received_ms)
  return added(entry, 'kind', 'report', 'edge', edge, unpack(flat))
end

-- Seconds since 1970 of 2026-11-24T14:30:00Z, or of whole seconds; nil where it is neither.
local function seconds(time)
  if type(time) == 'number' then return time >= 0 and time < 253402300800 and math.floor(time) or nil end
  if type(time) ~= 'string' then return nil end
  local year, month, day, hour, minute, second, zone = time:match(
    '^(%d%d%d%d)%-(%d%d)%-(%d%d)T(%d%d):(%d%d):(%d%d)(.+)$')
  if not year then return nil end
  local sign, hours, minutes = zone:match('^([+-])(%d%d):(%d%d)$')
  if zone ~= 'Z' and not sign then return nil end
  year, month = tonumber(year), tonumber(month)
  if month <= 2 then year, month = year - 1, month + 12 end
  local days = 365 * year + math.floor(year / 4) - math.floor(year / 100) + math.floor(year / 400)
               + math.floor((153 * (month - 3) + 2) / 5) + day - 719469
  local offset = sign and (tonumber(hours) * 3600 + tonumber(minutes) * 60) * (sign == '-' and -1 or 1) or 0
  return days * 86400 + hour * 3600 + minute * 60 + second - offset
end

-- Whether an override makes sense is for those to say who know the network. Here it must be one, under its own name,
-- with an end by which it is forgotten.
local function write_override(keys, args)
  local refused = needs(args)
  if refused then return refused end
  local name, reason = named(keys, 'override:', '^[a-z0-9][a-z0-9._-]*$', 'ID')
  if not name then return {0, reason} end
  local function fault(said) return {0, "override '" .. name .. "': " .. said} end
  local json = args[2]
  if #args ~= 2 then return fault('give one JSON text') end
  if #json > MAX_JSON then return fault('the text has more than ' .. MAX_JSON .. ' bytes') end
  local readable, order = pcall(cjson.decode, json)
  if not readable or type(order) ~= 'table' then return fault('not JSON') end
  if order.id ~= name then return fault('id: is not that of the key') end
  local until_s = seconds(order['until'])
  if not until_s then return fault('until: is not a time, such as 2026-11-24T14:30:00Z') end
  local entry = opened()
  if entry.err then return entry end
  local left_s = math.max(until_s - math.floor(clock_ms() / 1000), 0) + OVERRIDE_KEPT_S
  redis.call('SET', keys[1], json, 'EX', digits(left_s))
  return added(entry, 'kind', 'override', 'id', name, 'json', json)
end

redis.register_function('gslb_report', write_report)
redis.register_function('gslb_override', write_override)
