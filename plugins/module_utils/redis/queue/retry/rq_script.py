# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The script that puts failed jobs of RQ back in their queue.

It does what C(FailedJobRegistry.requeue) and C(Queue._enqueue_async_job) of rq 2 and 3 do in four steps that others can
come between, and what they leave out: a job whose data is missing is not queued, and the expiry that the failure had
set is taken off, so that the job cannot vanish while it waits.

Nothing is rolled back when a script fails, so everything is looked at before the first write, and the first write is
one that the server refuses when it is out of memory, or takes no writes for another reason.
"""

from __future__ import annotations

# What the script says of each job.
OUTCOMES = ("gone", "retried", "ghost", "locked", "limited", "elsewhere")

# KEYS: the registry of failed jobs, the list, the set of queues, then each job's hash, dependents, dependencies and
# executions.
# ARGV: the queue, the time as RQ writes it, the time in epoch seconds, whether attempts begin anew, then each job's id.
# It answers with an outcome a job, or with why it did nothing: {"type", key, found, wanted} or {"error", message}.
RETRY = r"""
local FIXED, WIDTH, OPTIONS = 3, 4, 4
local LONGEST = 1024
local GONE, RETRIED, GHOST, LOCKED, LIMITED, ELSEWHERE = 0, 1, 2, 3, 4, 5
local failed, list, queues = KEYS[1], KEYS[2], KEYS[3]
local origin, written, now, reset = ARGV[1], ARGV[2], ARGV[3], ARGV[4] == "1"

local function kind(key) return redis.call("TYPE", key).ok end

for position, wanted in ipairs({"zset", "list", "set"}) do
  local found = kind(KEYS[position])
  if found ~= "none" and found ~= wanted then return {"type", KEYS[position], found, wanted} end
end

local function short(key, field)
  if redis.call("HSTRLEN", key, field) > LONGEST then return nil end
  return redis.call("HGET", key, field) or nil
end

local function examine(id, hash, executions)
  if not redis.call("ZSCORE", failed, id) then return GONE end
  if kind(hash) ~= "hash" or redis.call("HEXISTS", hash, "data") == 0 then return GHOST end
  if kind(executions) == "zset" and redis.call("ZCOUNT", executions, "(" .. now, "+inf") > 0 then return LOCKED end
  if redis.call("HSTRLEN", hash, "rate_limit_key") > 0 then return LIMITED end
  if short(hash, "origin") ~= origin then return ELSEWHERE end
  return RETRIED
end

local outcomes, chosen, seen = {}, {}, {}
for number = 1, (#KEYS - FIXED) / WIDTH do
  local id, first = ARGV[OPTIONS + number], FIXED + (number - 1) * WIDTH
  local outcome = GONE
  if not seen[id] then
    seen[id] = true
    outcome = examine(id, KEYS[first + 1], KEYS[first + 4])
  end
  outcomes[number] = outcome
  if outcome == RETRIED then
    chosen[#chosen + 1] = {id = id, hash = KEYS[first + 1], family = {KEYS[first + 2], KEYS[first + 3]}}
  end
end

for position, job in ipairs(chosen) do
  local pushed = position == 1 and redis.pcall("RPUSH", list, job.id) or redis.call("RPUSH", list, job.id)
  if type(pushed) == "table" and pushed.err then return {"error", pushed.err} end
  redis.call("ZREM", failed, job.id)
  redis.call("HSET", job.hash, "status", "queued", "enqueued_at", written, "started_at", "", "ended_at", "")
  redis.call("HDEL", job.hash, "exc_info")
  if reset then redis.call("HDEL", job.hash, "number_of_retries") end
  local lifetime = tonumber(short(job.hash, "ttl") or nil)
  for _, key in ipairs({job.hash, job.family[1], job.family[2]}) do
    if lifetime and lifetime > 0 then redis.call("EXPIRE", key, math.ceil(lifetime)) else redis.call("PERSIST", key) end
  end
end
if #chosen > 0 then redis.call("SADD", queues, list) end
return outcomes
"""
