"""The Lua scripts of the Redis log store: each takes effect as a whole, and is harmless when it is sent twice.

Keys of a vault, all in one slot: `head` (a hash), `rows` (a hash, sequence number -> row), `snap` (a hash, part -> bytes),
`stage` (rows or parts on their way in, which expire by themselves), `gone` (what a drop removed, for a minute). A row is
tag 16 | digest 32 | 4 bytes | sealed; the 4 bytes are 0, or in a row without ciphertext the head after it was purged.

`recent` in the head names the last 32 attempts that took effect, 8 bytes each: an attempt whose answer was lost finds
itself there when it is sent again.
"""

from __future__ import annotations

from typing import Final

DONE: Final = 1
MOVED: Final = 0
STAGE_LOST: Final = -1
OTHER_FORMAT: Final = -2

_HEAD: Final = """
local function known(recent, attempt)
  recent = recent or ''
  for at = 1, #recent, 8 do
    if string.sub(recent, at, at + 7) == attempt then return true end
  end
  return false
end
local function remember(recent, attempt)
  return string.sub((recent or '') .. attempt, -256)
end
"""

HEAD: Final = """
-- KEYS head rows -> format, seq, epoch, digest of the last row
local h = redis.call('HMGET', KEYS[1], 'format', 'seq', 'epoch')
local row = h[2] and redis.call('HGET', KEYS[2], h[2])
return { h[1], h[2], h[3], row and string.sub(row, 17, 48) }
"""

STAGE: Final = """
-- KEYS stage; ARGV milliseconds, then field and value in turns
for at = 2, #ARGV, 2 do redis.call('HSET', KEYS[1], ARGV[at], ARGV[at + 1]) end
redis.call('PEXPIRE', KEYS[1], ARGV[1])
return 1
"""

APPEND: Final = f"""{_HEAD}
-- KEYS head rows snap stage; ARGV attempt expected count epoch unknown-epoch format staged purges seq... row...
local attempt, expected, count = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local h = redis.call('HMGET', KEYS[1], 'seq', 'epoch', 'format', 'recent')
if known(h[4], attempt) then return {DONE} end
if tonumber(h[1] or '0') ~= expected then return {MOVED} end
if h[1] and h[2] ~= ARGV[4] and h[2] ~= ARGV[5] then return {MOVED} end
if h[1] and h[3] ~= ARGV[6] then return {OTHER_FORMAT} end
local staged, purges = ARGV[7] == '1', tonumber(ARGV[8])
if staged and redis.call('HLEN', KEYS[4]) ~= count then return {STAGE_LOST} end
local head = expected + count
if purges > 0 then
  redis.call('UNLINK', KEYS[3])
  redis.call('HDEL', KEYS[1], 'snap', 'upto')
  local mark = struct.pack('>I4', head)
  for at = 9, 8 + purges do
    local row = redis.call('HGET', KEYS[2], ARGV[at])
    if row then redis.call('HSET', KEYS[2], ARGV[at], string.sub(row, 1, 48) .. mark) end
  end
  redis.call('HSET', KEYS[1], 'purged', head)
end
for at = 1, count do
  local row = staged and redis.call('HGET', KEYS[4], expected + at) or ARGV[8 + purges + at]
  redis.call('HSET', KEYS[2], expected + at, row)
end
if staged then redis.call('UNLINK', KEYS[4]) end
if not h[1] then redis.call('HSET', KEYS[1], 'life', attempt) end
redis.call('HSET', KEYS[1], 'seq', head, 'epoch', ARGV[4], 'format', ARGV[6], 'recent', remember(h[4], attempt))
return {DONE}
"""

REPLACE: Final = f"""{_HEAD}
-- KEYS head rows snap stage; ARGV attempt expected-seq expected-epoch expected-format count epoch
local attempt, count = ARGV[1], tonumber(ARGV[5])
local h = redis.call('HMGET', KEYS[1], 'seq', 'epoch', 'format', 'recent')
if known(h[4], attempt) then return {DONE} end
if h[1] then
  if h[1] ~= ARGV[2] or h[2] ~= ARGV[3] or h[3] ~= ARGV[4] then return {MOVED} end
elseif ARGV[2] ~= '0' then
  return {MOVED}
end
if redis.call('HLEN', KEYS[4]) ~= count then return {STAGE_LOST} end
redis.call('UNLINK', KEYS[2], KEYS[3])
redis.call('RENAME', KEYS[4], KEYS[2])
redis.call('PERSIST', KEYS[2])
redis.call('HDEL', KEYS[1], 'snap', 'upto')
redis.call('HSET', KEYS[1], 'seq', count, 'epoch', ARGV[6], 'format', ARGV[4], 'purged', count, 'life', attempt,
  'recent', remember(h[4], attempt))
return {DONE}
"""

DROP: Final = """
-- KEYS head rows snap gone; ARGV attempt epoch unknown-epoch
local g = redis.call('HMGET', KEYS[4], 'attempt', 'events', 'parts')
if g[1] == ARGV[1] then return {tonumber(g[2]), tonumber(g[3])} end
local epoch = redis.call('HGET', KEYS[1], 'epoch')
if not epoch or (epoch ~= ARGV[2] and epoch ~= ARGV[3]) then return {0, 0} end
local events, parts = redis.call('HLEN', KEYS[2]), redis.call('HLEN', KEYS[3])
redis.call('UNLINK', KEYS[1], KEYS[2], KEYS[3])
redis.call('HSET', KEYS[4], 'attempt', ARGV[1], 'events', events, 'parts', parts)
redis.call('PEXPIRE', KEYS[4], 60000)
return {events, parts}
"""

READ: Final = """
-- KEYS head rows; ARGV after upto bytes rows; upto 0 is the head. life, head, how far it came, then seq and row in turns
local h = redis.call('HMGET', KEYS[1], 'life', 'seq')
if not h[1] then return {} end
local head, upto = tonumber(h[2]), tonumber(ARGV[2])
if upto == 0 or upto > head then upto = head end
local left, last = tonumber(ARGV[3]), math.min(upto, tonumber(ARGV[1]) + tonumber(ARGV[4]))
local found, at = {h[1], head, 0}, tonumber(ARGV[1])
while at < last and left > 0 do
  at = at + 1
  local row = redis.call('HGET', KEYS[2], at)
  if row then
    left = left - #row
    found[#found + 1] = at
    found[#found + 1] = row
  end
end
found[3] = at
return found
"""

BEGIN_SNAPSHOT: Final = """
-- KEYS head; ARGV upto. false: not wanted
local h = redis.call('HMGET', KEYS[1], 'life', 'seq', 'purged', 'upto', 'drops')
local upto = tonumber(ARGV[1])
if not h[1] or upto < tonumber(h[3] or '0') or upto > tonumber(h[2]) or upto < tonumber(h[4] or '0') then return false end
return {h[1], h[5] or '0'}
"""

FINISH_SNAPSHOT: Final = f"""
-- KEYS head snap stage; ARGV attempt upto count life drops
local h = redis.call('HMGET', KEYS[1], 'life', 'seq', 'purged', 'upto', 'drops', 'snap')
local upto = tonumber(ARGV[2])
if h[6] == ARGV[1] then return {DONE} end
if h[1] ~= ARGV[4] or (h[5] or '0') ~= ARGV[5] or upto < tonumber(h[3] or '0') or upto > tonumber(h[2])
  or upto < tonumber(h[4] or '0') then
  redis.call('UNLINK', KEYS[3])
  return {MOVED}
end
if redis.call('HLEN', KEYS[3]) ~= tonumber(ARGV[3]) then return {STAGE_LOST} end
redis.call('UNLINK', KEYS[2])
redis.call('RENAME', KEYS[3], KEYS[2])
redis.call('PERSIST', KEYS[2])
redis.call('HSET', KEYS[1], 'snap', ARGV[1], 'upto', upto)
return {DONE}
"""

FIND_SNAPSHOT: Final = """
-- KEYS head snap. id, upto, then the numbers of the parts
local h = redis.call('HMGET', KEYS[1], 'snap', 'upto')
if not h[1] then return false end
local found = redis.call('HKEYS', KEYS[2])
table.insert(found, 1, h[2])
table.insert(found, 1, h[1])
return found
"""

READ_PART: Final = """
-- KEYS head snap; ARGV id part
if redis.call('HGET', KEYS[1], 'snap') ~= ARGV[1] then return false end
return redis.call('HGET', KEYS[2], ARGV[2])
"""

DROP_SNAPSHOT: Final = """
-- KEYS head snap; ARGV attempt. `dropped` keeps the last answer for whoever did not get it
local h = redis.call('HMGET', KEYS[1], 'life', 'dropped')
if not h[1] then return 0 end
if h[2] and string.sub(h[2], 1, 8) == ARGV[1] then return tonumber(string.sub(h[2], 9)) end
local parts = redis.call('HLEN', KEYS[2])
redis.call('UNLINK', KEYS[2])
redis.call('HDEL', KEYS[1], 'snap', 'upto')
redis.call('HINCRBY', KEYS[1], 'drops', 1)
redis.call('HSET', KEYS[1], 'dropped', ARGV[1] .. parts)
return parts
"""
