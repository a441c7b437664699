-- Plans, and who may publish them. This is the second half of the library that gslb.lua begins.
--
--   FCALL gslb_plan    1 {gslb}:plan:VERSION  2 DATA SHA256 BASE TOKEN
--   FCALL gslb_lease   1 {gslb}:lease:NAME    2 HOLDER LASTING_MS
--   FCALL gslb_release 1 {gslb}:lease:NAME    2 HOLDER
--   FCALL gslb_freeze  1 {gslb}:freeze        2 UNTIL_MS AUTHOR REASON
--
-- A plan takes the place of the one that it is based on, and of no other. TOKEN is that of the lease `dispatch`; an empty
-- one publishes by hand, which takes the right to write {gslb}:byhand. A lease is answered with 1, the token and for how
-- many ms it lasts; or with 0, the reason, who holds it and for how many ms more.

local CURRENT, VERSIONS = TAG .. 'plan:current', TAG .. 'plan:versions'
local DISPATCH, FREEZE, BY_HAND = TAG .. 'lease:dispatch', TAG .. 'freeze', TAG .. 'byhand'

local PLANS_KEPT = 3
local MAX_LASTING, MAX_HOLDER, MAX_WORDS = '600000', 128, 512
local MAX_MS = '9007199254740991'

-- The field of a hash that somebody may have written by hand, as a number.
local function counted(found, most)
  return tonumber(decimal(found, most) or '0')
end

-- A lease as it stands: token, holder, and for how many ms more. One that would last for longer than it was taken for
-- was taken before the clock was set back, and has ended.
local function standing(key)
  local found = kept('HMGET', key, 'token', 'holder', 'until_ms', 'lasting_ms')
  local left = counted(found[3], MAX_MS) - clock_ms()
  if left < 0 or left > counted(found[4], MAX_LASTING) + JUMP_MS then left = 0 end
  return {token = counted(found[1], MAX_MS), holder = found[2] or '', left = left}
end

local function held_by(lease)
  return 'is held by ' .. quoted(lease.holder) .. ' for another ' .. digits(lease.left) .. ' ms'
end

local function take_lease(keys, args)
  local refused = needs(args)
  if refused then return refused end
  local name, reason = named(keys, 'lease:', '^%w[%w._-]*$', 'NAME')
  if not name then return {0, reason} end
  local function fault(said) return {0, "lease '" .. name .. "': " .. said} end
  if #args ~= 3 then return fault('give the holder, and for how many ms') end
  local holder, lasting = args[2], decimal(args[3], MAX_LASTING)
  if #holder == 0 or #holder > MAX_HOLDER or holder:find('[^!-~]') then
    return fault('holder: ' .. quoted(holder) .. ' is not 1 to ' .. MAX_HOLDER .. ' printable ASCII characters')
  end
  if not lasting or lasting == '0' then
    return fault('lasting_ms: ' .. quoted(args[3]) .. ' is not a decimal number from 1 to ' .. MAX_LASTING)
  end
  local now, lease = clock_ms(), standing(keys[1])
  if lease.left > 0 and lease.holder ~= holder then
    return {0, "lease '" .. name .. "': " .. held_by(lease), lease.holder, lease.left}
  end
  -- Times are tokens: they grow though the store be emptied, and two primaries give the same to nobody.
  local token = lease.left > 0 and lease.token or math.max(lease.token + 1, now)
  redis.call('HSET', keys[1], 'token', digits(token), 'holder', holder, 'until_ms', digits(now + tonumber(lasting)),
             'lasting_ms', lasting)
  redis.call('PEXPIRE', keys[1], EXPIRE_MS)
  return {1, token, tonumber(lasting)}
end

local function drop_lease(keys, args)
  local refused = needs(args)
  if refused then return refused end
  local name, reason = named(keys, 'lease:', '^%w[%w._-]*$', 'NAME')
  if not name then return {0, reason} end
  local lease = standing(keys[1])
  if lease.left == 0 then return {0, "lease '" .. name .. "': nobody holds it"} end
  if lease.holder ~= args[2] then return {0, "lease '" .. name .. "': " .. held_by(lease)} end
  redis.call('HSET', keys[1], 'until_ms', '0')
  return {1}
end

local function worded(text)
  return text and #text > 0 and #text <= MAX_WORDS and not text:find('[%c\127]')
end

local function freeze(keys, args)
  local refused = needs(args)
  if refused then return refused end
  if #keys ~= 1 or keys[1] ~= FREEZE then return {0, 'give one key, ' .. FREEZE} end
  local faults, now = {}, clock_ms()
  local until_ms = decimal(args[2], MAX_MS)
  if #args ~= 4 then return {0, 'freeze: give the time when it ends, the author and the reason'} end
  if not until_ms then
    faults[1] = 'until_ms: ' .. quoted(args[2]) .. ' is not a decimal number from 0 to ' .. MAX_MS
  elseif tonumber(until_ms) > now + EXPIRE_MS then
    faults[1] = 'until_ms: is more than 7 days away'
  end
  if not worded(args[3]) then faults[#faults + 1] = 'author: is not 1 to 512 bytes without control characters' end
  if not worded(args[4]) then faults[#faults + 1] = 'reason: is not 1 to 512 bytes without control characters' end
  if #faults > 0 then return {0, 'freeze: ' .. table.concat(faults, '; ')} end
  redis.call('UNLINK', FREEZE)
  if tonumber(until_ms) > now then
    redis.call('HSET', FREEZE, 'until_ms', until_ms, 'author', args[3], 'reason', args[4])
    redis.call('PEXPIRE', FREEZE, digits(tonumber(until_ms) - now))
  end
  return {1}
end

-- Why a dispatcher with this token may not publish; nil where he may.
local function fenced(token)
  local lease = standing(DISPATCH)
  if lease.left == 0 then return 'the lease dispatch has ended, or was never taken' end
  if decimal(token, MAX_MS) ~= digits(lease.token) then
    return 'the token ' .. quoted(token) .. ' is not that of the lease dispatch, which ' .. held_by(lease)
  end
  local frozen = redis.pcall('HMGET', FREEZE, 'until_ms', 'author', 'reason')
  if frozen.err then return not frozen.err:find('WRONGTYPE') and frozen.err or nil end
  if counted(frozen[1], MAX_MS) > clock_ms() then
    return 'plans are frozen by ' .. quoted(frozen[2] or '') .. ': ' .. quoted(frozen[3] or '')
  end
end

-- Whether a plan is held under this version.
local function is_kept(version)
  local length = redis.pcall('HSTRLEN', TAG .. 'plan:' .. version, 'sha256')
  return type(length) == 'number' and length > 0
end

-- The versions that are kept, newest first, as far as they are known: what counts comes first, whoever set it.
local function kept_versions(current)
  local found, there = {}, {}
  for name in (current .. ' ' .. kept('GETRANGE', VERSIONS, 0, 1023)):gmatch('%S+') do
    if #name <= 63 and name:find('^%w[%w._-]*$') and name ~= 'current' and name ~= 'versions' and not there[name] then
      found[#found + 1] = name
      there[name] = true
    end
  end
  return found
end

local function write_plan(keys, args)
  local refused = needs(args)
  if refused then return refused end
  local version, reason = named(keys, 'plan:', '^%w[%w._-]*$', 'VERSION')
  if not version then return {0, reason} end
  local function fault(said) return {0, "plan '" .. version .. "': " .. said} end
  if version == 'current' or version == 'versions' then return fault('the name is taken') end
  if #args ~= 5 then
    return fault('give the data, its SHA-256, the version that it is based on, and a token')
  end
  local data, sha256, base, token = args[2], args[3], args[4], args[5]
  if #sha256 ~= 64 or sha256:find('[^0-9a-f]') then return fault('sha256: is not 64 hexadecimal digits') end
  reason = token ~= '' and fenced(token)
  if reason then return fault(reason) end
  local current = kept('GETRANGE', CURRENT, 0, 63)
  local counts = is_kept(current) and current or ''
  if base ~= counts then
    return fault('is based on ' .. quoted(base) .. ', and what counts is ' .. quoted(counts))
  end
  if is_kept(version) then return fault('the version is kept already') end
  if token == '' then
    if type(redis.pcall('UNLINK', BY_HAND)) == 'table' then
      return fault('without the token of a lease only who may write ' .. BY_HAND .. ' publishes')
    end
    redis.call('HSET', BY_HAND, 'version', version, 'at_ms', digits(clock_ms()))
  end
  local entry = opened()
  if entry.err then return entry end
  local versions = {version}
  for _, name in ipairs(kept_versions(current)) do
    if name ~= version and #versions < PLANS_KEPT then
      versions[#versions + 1] = name
    elseif name ~= version then
      redis.call('UNLINK', TAG .. 'plan:' .. name)
    end
  end
  redis.call('UNLINK', keys[1])
  redis.call('HSET', keys[1], 'data', data, 'sha256', sha256, 'base', base)
  redis.call('PEXPIRE', keys[1], EXPIRE_MS)
  redis.call('SET', CURRENT, version)
  redis.call('SET', VERSIONS, table.concat(versions, ' '))
  return added(entry, 'kind', 'plan', 'version', version)
end

redis.register_function('gslb_plan', write_plan)
redis.register_function('gslb_lease', take_lease)
redis.register_function('gslb_release', drop_lease)
redis.register_function('gslb_freeze', freeze)
