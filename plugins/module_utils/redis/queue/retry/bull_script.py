# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The script that puts failed jobs of Bull and BullMQ back, all of a batch or none.

It does what the libraries' reprocessJob does (packages bull 3 and 4, lib/commands; bullmq 3 to 6, dist/cjs/commands),
and what they leave out: a job without data is not moved, priorities are kept, a paused queue stays paused in Bull 3,
and a parent that failed over a child waits for it again.

Nothing is rolled back when a script fails, so everything is looked at before the first write, and the first write is
one that the server refuses when it is out of memory, or takes no writes for another reason.
"""

from __future__ import annotations

# The keys of the queue, in the order of KEYS, with the type that each must have if it is there.
QUEUE_KEYS = (
    ("failed", "zset"),
    ("wait", "list"),
    ("paused", "list"),
    ("active", "list"),
    ("meta", "hash"),
    ("meta-paused", "string"),
    ("prioritized", "zset"),
    ("pc", "string"),
    ("priority", "zset"),
    ("marker", "zset"),
    ("events", "stream"),
    ("waiting-children", "zset"),
)

# What the script says of each job. The texts are those of module_utils/redis/queue/retry/system.py and bull.py.
OUTCOMES = ("gone", "retried", "ghost", "locked", "blocked", "unknown_major", "parent")

# KEYS: those of the queue, then each job's hash and lock.
# ARGV: library, major (0: unknown), epoch milliseconds, whether attempts begin anew, the expected types of the queue's
# keys ("-": not this library's), then each job's id and score.
# It answers with an outcome a job, or with why it did nothing: {"type", key, found, wanted} or {"error", message}.
RETRY = r"""
local NAMES = 12
local library, major, now, reset = ARGV[1], tonumber(ARGV[2]), ARGV[3], ARGV[4] == "1"
local failed, wait, paused, active, meta, metaPaused = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6]
local prioritized, counter, priorities = KEYS[7], KEYS[8], KEYS[9]
local marker, events, waitingChildren = KEYS[10], KEYS[11], KEYS[12]
local isBull = library == "bull"
local LONGEST_OPTIONS, LONGEST_REASON, MOST_CHILDREN = 65536, 2048, 100
local GONE, RETRIED, GHOST, LOCKED, BLOCKED, UNKNOWN_MAJOR, PARENT = 0, 1, 2, 3, 4, 5, 6

local function kind(key)
  local answer = redis.pcall("TYPE", key)
  return answer.ok or answer.err and "unreachable" or answer
end

local function short(key, field, most)
  if redis.call("HSTRLEN", key, field) > most then return nil end
  return redis.call("HGET", key, field) or nil
end

-- What is read here is another queue's when a flow spans several: it may be out of reach, or of another type.
local function size(key, wanted, command)
  local found = kind(key)
  if found == "none" then return 0 end
  if found ~= wanted then return nil end
  return redis.call(command, key)
end

-- 1. Look.
for position = 1, NAMES do
  local wanted = ARGV[4 + position]
  if wanted ~= "-" then
    local found = kind(KEYS[position])
    if found ~= "none" and found ~= wanted then return {"type", KEYS[position], found, wanted} end
  end
end
if not isBull and major >= 4 then
  local count = redis.call("GET", counter)
  if count and not tonumber(count) then return {"type", counter, "string without a number", "number"} end
end

local isPaused, isFull, maxEvents = false, false, 10000
if isBull then
  isPaused = redis.call("EXISTS", metaPaused) == 1
else
  local said = redis.call("HMGET", meta, "paused", "concurrency", "opts.maxLenEvents")
  isPaused = said[1] and true or false
  local most = tonumber(said[2] or nil)
  isFull = major >= 5 and most ~= nil and redis.call("LLEN", active) >= most
  maxEvents = math.floor(tonumber(said[3] or nil) or maxEvents)
end
local target = (isPaused and major < 6) and paused or wait

-- Whether a child that its parent still waits for has failed: nobody is going to take it from there.
local function hasFailedChild(dependencies)
  for _, child in ipairs(redis.call("SRANDMEMBER", dependencies, MOST_CHILDREN)) do
    local queue, id = string.match(child, "^(.*):([^:]*)$")
    if queue and kind(queue .. ":failed") == "zset" and redis.call("ZSCORE", queue .. ":failed", id) then
      return true
    end
  end
  return false
end

-- A parent that failed because of a child: blocked as long as the child is failed, else it waits for it.
local function children(job, key)
  if redis.call("EXISTS", key .. ":unsuccessful", key .. ":dependencies") == 0 then return RETRIED end
  local unsuccessful = size(key .. ":unsuccessful", "zset", "ZCARD")
  local pending = size(key .. ":dependencies", "set", "SCARD")
  if not unsuccessful or not pending then return PARENT end
  if unsuccessful > 0 then return BLOCKED end
  if pending > 0 then
    local reason = short(key, "failedReason", LONGEST_REASON)
    if reason and string.match(reason, "^child .* failed$") then
      if hasFailedChild(key .. ":dependencies") then return BLOCKED end
      job.waits = true
    end
  end
  return RETRIED
end

local function parents(job, parent)
  if not parent or #parent == 0 then return RETRIED end
  local found = kind(parent)
  if found == "unreachable" then return PARENT end
  if found == "hash" then
    local kinds = {kind(parent .. ":unsuccessful"), kind(parent .. ":failed"), kind(parent .. ":dependencies")}
    for position, wanted in ipairs({"zset", "hash", "set"}) do
      if kinds[position] ~= "none" and kinds[position] ~= wanted then return PARENT end
    end
    job.parent = parent
  end
  return RETRIED
end

local function examine(job, key, lock, score)
  local current = redis.call("ZSCORE", failed, job.id)
  if not current or tonumber(current) ~= tonumber(score) then return GONE end
  if kind(key) ~= "hash" then return GHOST end
  local fields = redis.call("HMGET", key, "timestamp", "priority", "parentKey")
  if not fields[1] then return GHOST end
  if redis.call("EXISTS", lock) == 1 then return LOCKED end
  job.priority = tonumber(fields[2] or nil) or 0
  local options = short(key, "opts", LONGEST_OPTIONS)
  if options and string.find(options, '"lifo"', 1, true) then
    local readable, decoded = pcall(cjson.decode, options)
    job.lifo = readable and type(decoded) == "table" and decoded["lifo"] == true
  end
  if isBull then return RETRIED end
  if major == 0 and job.priority ~= 0 then return UNKNOWN_MAJOR end
  local outcome = children(job, key)
  if outcome ~= RETRIED then return outcome end
  return parents(job, fields[3])
end

local jobs, outcomes, seen = {}, {}, {}
for position = 1, (#KEYS - NAMES) / 2 do
  local job = {id = ARGV[4 + NAMES + 2 * position - 1], key = KEYS[NAMES + 2 * position - 1]}
  local outcome = GONE
  if not seen[job.id] then
    seen[job.id] = true
    outcome = examine(job, job.key, KEYS[NAMES + 2 * position], ARGV[4 + NAMES + 2 * position])
  end
  outcomes[position] = outcome
  if outcome == RETRIED then jobs[#jobs + 1] = job end
end

-- 2. Write. The first command of each way takes memory.
local function enqueue(job, run)
  local refused
  if job.waits then
    refused = run("ZADD", waitingChildren, now, job.id)
  elseif job.priority == 0 then
    refused = run(job.lifo and "RPUSH" or "LPUSH", target, job.id)
  elseif isBull or major == 3 then
    -- In front of the first one of lower priority; what runs next is at the end.
    refused = run("ZADD", priorities, job.priority, job.id)
    if type(refused) == "table" and refused.err then return refused end
    local ahead = redis.call("ZCOUNT", priorities, 0, job.priority) - 1
    local pivot = redis.call("LINDEX", target, redis.call("LLEN", target) - ahead)
    if pivot then
      redis.call("LINSERT", target, "BEFORE", pivot, job.id)
    else
      redis.call("RPUSH", target, job.id)
    end
  else
    local count = run("INCR", counter)
    if type(count) == "table" and count.err then return count end
    redis.call("ZADD", prioritized, job.priority * 0x100000000 + count % 0x100000000, job.id)
    if major == 4 and not isPaused and redis.call("LLEN", wait) == 0 then redis.call("LPUSH", wait, "0:0") end
  end
  return refused
end

local function announce(job)
  -- A listener that cannot be told does not undo the move.
  if isBull then
    redis.pcall("PUBLISH", wait .. "ing@runbook.ops", job.id)
  else
    local state = job.waits and "waiting-children" or "waiting"
    redis.pcall("XADD", events, "MAXLEN", "~", maxEvents, "*", "event", state, "jobId", job.id, "prev", "failed")
  end
end

for position, job in ipairs(jobs) do
  local refused = enqueue(job, position == 1 and redis.pcall or redis.call)
  if type(refused) == "table" and refused.err then return {"error", refused.err} end
  redis.call("ZREM", failed, job.id)
  redis.call("HDEL", job.key, "finishedOn", "processedOn", "failedReason")
  if reset then redis.call("HDEL", job.key, "attemptsMade", "stalledCounter", "atm", "ats", "stc") end
  if isBull then redis.call("HSET", job.key, "retriedOn", now) end
  if job.parent then
    if redis.call("ZREM", job.parent .. ":unsuccessful", job.key) == 1
      or redis.call("HDEL", job.parent .. ":failed", job.key) == 1 then
      redis.call("SADD", job.parent .. ":dependencies", job.key)
    end
  end
  announce(job)
end
if #jobs > 0 and major >= 5 and not isPaused and not isFull then redis.call("ZADD", marker, 0, "0") end
return outcomes
"""
