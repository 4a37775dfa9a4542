# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The steps by which queues of Bull and BullMQ are paused, resumed and emptied: each atomic and bounded.

Every script looks at the types of all its keys before it writes, because nothing is rolled back. What it reads of a job
it reads before the first write too, so that a key the ACL denies ends it while nothing has been done. The first write
is one that needs no memory, so that a queue can be paused and emptied on a server that is out of it.
"""

from __future__ import annotations

from ansible_collections.runbook.ops.plugins.module_utils.redis.script import Script

_EXPECT = """
local function expect(key, kind)
  local found = redis.call('TYPE', key)['ok']
  if found ~= 'none' and found ~= kind then
    return redis.error_reply('WRONGTYPE ' .. key .. ' is of type ' .. found .. ', not ' .. kind)
  end
end
"""

# Move jobs of one list to the end of another from which the next job is taken, keeping their order. They are the older.
# KEYS: from, to. ARGV: how many; 1 if entries "0:…" are not jobs but marks of BullMQ's, which are dropped.
# Returns how many are left.
MERGE = Script(
    "merge",
    _EXPECT
    + """
local wrong = expect(KEYS[1], 'list') or expect(KEYS[2], 'list')
if wrong then return wrong end
local entries = redis.call('LRANGE', KEYS[1], 0, tonumber(ARGV[1]) - 1)
if #entries == 0 then return 0 end
local jobs = {}
for _, id in ipairs(entries) do
  if not (ARGV[2] == '1' and string.find(id, '^0:%d')) then jobs[#jobs + 1] = id end
end
-- In this order, because a server that is out of memory refuses to begin with RPUSH.
redis.call('LTRIM', KEYS[1], #entries, -1)
if #jobs > 0 then redis.call('RPUSH', KEYS[2], unpack(jobs)) end
return redis.call('LLEN', KEYS[1])
""",
)

# Pause or resume, as the library of that version does (its pause script), but never over a list that is there.
# KEYS: wait, paused, meta, events (BullMQ) or meta-paused (Bull), marker, prioritized, delayed.
# ARGV: paused or resumed; bull or bullmq; major version (BullMQ); channel of the event (Bull).
# Returns 1, or 0 when the two lists must be merged first.
SWITCH = Script(
    "switch",
    _EXPECT
    + """
local wait, paused, meta, fourth, marker, prioritized, delayed = unpack(KEYS)
local pausing, bull, major = ARGV[1] == 'paused', ARGV[2] == 'bull', tonumber(ARGV[3])
local wrong = expect(wait, 'list') or expect(paused, 'list') or expect(meta, 'hash')
  or expect(fourth, bull and 'string' or 'stream') or expect(marker, 'zset')
  or expect(prioritized, 'zset') or expect(delayed, 'zset')
if wrong then return wrong end

local from, to = paused, wait
if pausing then from, to = wait, paused end
-- BullMQ 6 leaves the jobs where they are; what an older version has put aside it takes back.
if (bull or major < 6 or not pausing) and redis.call('EXISTS', from) == 1 then
  if redis.call('EXISTS', to) == 1 then return 0 end
  redis.call('RENAME', from, to)
end

-- Also where nothing is to be taken away: a server that is out of memory refuses to begin with HSET.
redis.call('HDEL', meta, 'paused')
if pausing then
  redis.call('HSET', meta, 'paused', 1)
  if bull then redis.call('SET', fourth, 1) elseif major >= 5 then redis.call('DEL', marker) end
else
  if bull then
    redis.call('DEL', fourth)
  elseif major >= 5 then
    local following = redis.call('ZRANGE', delayed, 0, 0, 'WITHSCORES')
    if redis.call('EXISTS', wait) == 1 or redis.call('EXISTS', prioritized) == 1 then
      redis.call('ZADD', marker, 0, '0')
    elseif following[2] then
      redis.call('ZADD', marker, tonumber(following[2]) / 0x1000, '1')
    end
  elseif redis.call('EXISTS', prioritized) == 1 and redis.call('EXISTS', wait) == 0 then
    redis.call('LPUSH', wait, '0:0')
  end
end
if bull then redis.call('PUBLISH', ARGV[4], ARGV[1]) else redis.call('XADD', fourth, '*', 'event', ARGV[1]) end
return 1
""",
)

# Remove jobs of one state with all their keys.
# KEYS: the state, repeat, priority, limiter:index, active.
# ARGV: beginning of the queue's keys; how many entries to pass over; how many to look at; the highest score, or an
# empty string; 1 if entries "0:…" are not jobs; then the names of the queue's own keys.
# Returns how many entries it looked at, removed, found without a job, and left; and 1 when it met a higher score.
REMOVE = Script(
    "remove",
    _EXPECT
    + """
local state, repeats, priorities, limited, active = unpack(KEYS)
local base, skip, count, highest = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local own = {}
for index = 6, #ARGV do own[ARGV[index]] = true end
local kind = redis.call('TYPE', state)['ok']
if kind == 'none' then return {0, 0, 0, 0, 0} end
if kind ~= 'list' and kind ~= 'zset' then return expect(state, 'list or zset') end
local wrong = expect(repeats, 'zset') or expect(priorities, 'zset') or expect(limited, 'hash') or expect(active, 'list')
if wrong then return wrong end

-- The entries in the order in which they would be executed, which is the end of a list first.
local entries, met = {}, 0
if kind == 'list' then
  local found = redis.call('LRANGE', state, -(skip + count), -(skip + 1))
  for index = #found, 1, -1 do entries[#entries + 1] = found[index] end
else
  local found = redis.call('ZRANGE', state, skip, skip + count - 1, 'WITHSCORES')
  for index = 1, #found, 2 do
    if highest and tonumber(found[index + 1]) > highest then met = 1 break end
    entries[#entries + 1] = found[index]
  end
end
local busy = {}
for _, id in ipairs(redis.call('LRANGE', active, 0, 999)) do busy[id] = true end

local function is_scheduled(id)
  local moment = string.match(id, '^repeat:.*:(%d+)$')
  return moment and #redis.call('ZRANGEBYSCORE', repeats, moment, moment, 'LIMIT', 0, 1) > 0
end

local function is_expected(job)
  local parent = redis.call('HGET', job, 'parentKey')
  if not parent or parent == '' then return false end
  local answer = redis.pcall('SISMEMBER', parent .. ':dependencies', job)
  -- A parent that cannot be looked at (another slot, the ACL) may be waiting.
  return answer ~= 0
end

local positions, removed, ghosts, keys = {}, {}, 0, {}
for position, id in ipairs(entries) do
  local job = base .. id
  local is = redis.call('TYPE', job)['ok']
  local leave = (ARGV[5] == '1' and string.find(id, '^0:%d')) or own[id] or busy[id]
    or (is ~= 'hash' and is ~= 'none') or redis.call('EXISTS', job .. ':lock') == 1
    or (string.sub(id, 1, 7) == 'repeat:' and redis.call('ZSCORE', repeats, string.sub(id, 8)))
    or (is == 'hash' and (is_scheduled(id) or is_expected(job)))
  if not leave then
    positions[#positions + 1] = position
    removed[#removed + 1] = id
    if is == 'none' then ghosts = ghosts + 1 end
    for _, suffix in ipairs({'', ':logs', ':dependencies', ':processed', ':failed', ':unsuccessful'}) do
      keys[#keys + 1] = job .. suffix
    end
    local deduplication = is == 'hash' and redis.call('HGET', job, 'deid')
    if deduplication and redis.call('GET', base .. 'de:' .. deduplication) == id then
      keys[#keys + 1] = base .. 'de:' .. deduplication
      keys[#keys + 1] = base .. 'dn:' .. deduplication
    end
  end
end
if #removed == 0 then return {#entries, 0, 0, #entries, met} end

redis.call('UNLINK', unpack(keys))
if kind == 'zset' then
  redis.call('ZREM', state, unpack(removed))
elseif #removed == #entries and skip == 0 then
  redis.call('LTRIM', state, 0, -(#entries + 1))
else
  local gone = '\\0runbook.ops: removed'
  for _, position in ipairs(positions) do redis.call('LSET', state, -(skip + position), gone) end
  redis.call('LREM', state, -#removed, gone)
end
if redis.call('EXISTS', priorities) == 1 then redis.call('ZREM', priorities, unpack(removed)) end
-- Bull's rate limits by group know which of their jobs wait.
if redis.call('EXISTS', limited) == 1 then
  for _, id in ipairs(removed) do
    local group = redis.call('HGET', limited, id)
    if group then
      redis.call('SREM', group, id)
      redis.call('HDEL', limited, id)
    end
  end
end
return {#entries, #removed, ghosts, #entries - #removed, met}
""",
)

# After a removal: take away the marks that wake a worker of BullMQ's for jobs that are not there any more.
# KEYS: wait, paused, marker, prioritized, delayed. ARGV: major version.
SETTLE = Script(
    "settle",
    _EXPECT
    + """
local wait, paused, marker, prioritized, delayed = unpack(KEYS)
local wrong = expect(wait, 'list') or expect(paused, 'list') or expect(marker, 'zset')
  or expect(prioritized, 'zset') or expect(delayed, 'zset')
if wrong then return wrong end
local following = redis.call('ZRANGE', delayed, 0, 0, 'WITHSCORES')[2]
local prioritized_jobs = redis.call('EXISTS', prioritized) == 1
if tonumber(ARGV[1]) >= 5 then
  if not prioritized_jobs and redis.call('EXISTS', wait) == 0 then redis.call('ZREM', marker, '0') end
  if not following then
    redis.call('ZREM', marker, '1')
  elseif redis.call('ZSCORE', marker, '1') then
    redis.call('ZADD', marker, tonumber(following) / 0x1000, '1')
  end
elseif not following and not prioritized_jobs then
  for _, list in ipairs({wait, paused}) do
    for _, range in ipairs({{0, 4}, {-5, -1}}) do
      for _, id in ipairs(redis.call('LRANGE', list, range[1], range[2])) do
        if string.find(id, '^0:%d') then redis.call('LREM', list, 1, id) end
      end
    end
  end
end
return 1
""",
)
