"""The Lua scripts of the Redis key ring: each takes effect as a whole, and is harmless when it is sent twice.

One hash a vault: `version provider wrapped label seq chain`, for a successor `next-*` beside them, and alone in it
`shredded` for a tombstone. `by` and `shredded` hold the attempt that wrote last, so that one whose answer was lost finds
itself again.
"""

from __future__ import annotations

from typing import Final

ABSENT: Final = -1
TWO_HISTORIES: Final = -2

PUT_ONCE: Final = """
redis.call('SETNX', KEYS[1], ARGV[1])
return redis.call('GET', KEYS[1])
"""

SWAP: Final = """
-- ARGV absent|present expected value
local kept = redis.call('GET', KEYS[1])
if kept == ARGV[3] then return 1 end
if (ARGV[1] == 'absent') ~= (not kept) or (kept and kept ~= ARGV[2]) then return 0 end
redis.call('SET', KEYS[1], ARGV[3])
return 1
"""

BURY: Final = """
-- ARGV attempt
local h = redis.call('HMGET', KEYS[1], 'wrapped', 'shredded')
if h[1] then return 0 end
if not h[2] then redis.call('HSET', KEYS[1], 'shredded', ARGV[1]) end
return 1
"""

CREATE: Final = """
-- ARGV attempt version provider wrapped label seq chain
local h = redis.call('HMGET', KEYS[1], 'wrapped', 'by')
if h[1] then return h[2] == ARGV[1] and 1 or 0 end
redis.call('DEL', KEYS[1])
redis.call('HSET', KEYS[1], 'by', ARGV[1], 'version', ARGV[2], 'provider', ARGV[3], 'wrapped', ARGV[4], 'label', ARGV[5],
  'seq', ARGV[6], 'chain', ARGV[7])
return 1
"""

ADVANCE: Final = f"""
-- ARGV seq chain
local h = redis.call('HMGET', KEYS[1], 'wrapped', 'seq', 'chain')
if not h[1] then return {ABSENT} end
local kept, seq = tonumber(h[2]), tonumber(ARGV[1])
if kept < seq then redis.call('HSET', KEYS[1], 'seq', ARGV[1], 'chain', ARGV[2]) end
if kept == seq and h[3] ~= ARGV[2] then return {TWO_HISTORIES} end
return 1
"""

REWIND: Final = """
-- ARGV seq chain
if redis.call('HEXISTS', KEYS[1], 'wrapped') == 0 then return 0 end
redis.call('HSET', KEYS[1], 'seq', ARGV[1], 'chain', ARGV[2])
return 1
"""

PREPARE: Final = """
-- ARGV version provider wrapped label
local h = redis.call('HMGET', KEYS[1], 'wrapped', 'version', 'next-wrapped')
if not h[1] or tonumber(h[2]) ~= tonumber(ARGV[1]) - 1 then return false end
if not h[3] then
  redis.call('HSET', KEYS[1], 'next-version', ARGV[1], 'next-provider', ARGV[2], 'next-wrapped', ARGV[3],
    'next-label', ARGV[4])
end
return redis.call('HMGET', KEYS[1], 'next-version', 'next-provider', 'next-wrapped', 'next-label', 'seq', 'chain')
"""

PROMOTE: Final = """
-- ARGV attempt version seq chain
local n = redis.call('HMGET', KEYS[1], 'next-version', 'next-provider', 'next-wrapped', 'next-label', 'seq', 'by')
if n[6] == ARGV[1] then return 1 end
if n[1] ~= ARGV[2] or tonumber(n[5]) >= tonumber(ARGV[3]) then return 0 end
redis.call('HSET', KEYS[1], 'by', ARGV[1], 'version', n[1], 'provider', n[2], 'wrapped', n[3], 'label', n[4],
  'seq', ARGV[3], 'chain', ARGV[4])
redis.call('HDEL', KEYS[1], 'next-version', 'next-provider', 'next-wrapped', 'next-label')
return 1
"""

SHRED: Final = """
-- ARGV attempt
local h = redis.call('HMGET', KEYS[1], 'wrapped', 'shredded')
if h[2] == ARGV[1] then return 1 end
if not h[1] then return 0 end
redis.call('DEL', KEYS[1])
redis.call('HSET', KEYS[1], 'shredded', ARGV[1])
return 1
"""

REWRAP: Final = """
-- ARGV attempt old new provider
local h = redis.call('HMGET', KEYS[1], 'wrapped', 'by')
if h[1] and h[2] == ARGV[1] then return 1 end
if h[1] ~= ARGV[2] then return 0 end
redis.call('HSET', KEYS[1], 'by', ARGV[1], 'wrapped', ARGV[3], 'provider', ARGV[4])
return 1
"""
