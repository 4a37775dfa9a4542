# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The script that removes jobs of RQ with all their keys. Jobs that others wait for, and some more, stay.

The rules are those of rq_keeping.py, which check mode goes by.
"""

from __future__ import annotations

# KEYS: the list or sorted set. ARGV: the prefix, how many entries to skip, how many to look at, the moment before which
# a job must have ended ("" for all), the time in epoch seconds.
# It answers with how many entries were seen, how many of them were removed, how many of these had no job, and how many
# stay.
REMOVE = r"""
local key, prefix, skip, count = KEYS[1], ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local before, now = ARGV[4], ARGV[5]
local TOMB, LONGEST, MOST = "runbook.ops:removed", 1024, 100

local function kind(name) return redis.call("TYPE", name).ok end

local function short(name, field)
  if redis.call("HSTRLEN", name, field) > LONGEST then return "" end
  return redis.call("HGET", name, field) or ""
end

local function stays(id, job)
  if before ~= "" then
    local ended = short(job, "ended_at")
    if ended == "" or ended > before then return true end
  end
  if redis.call("HSTRLEN", job, "rate_limit_key") > 0 then return true end
  local executions = prefix .. ":executions:" .. id
  if kind(executions) == "zset" and redis.call("ZCOUNT", executions, "(" .. now, "+inf") > 0 then return true end
  local dependents = job .. ":dependents"
  if kind(dependents) == "set" then
    for _, each in ipairs(redis.call("SRANDMEMBER", dependents, MOST)) do
      local other = prefix .. ":job:" .. each
      if kind(other) == "hash" and short(other, "status") == "deferred" then return true end
    end
  end
  return false
end

local found = kind(key)
local isList = found == "list"
if found == "none" then return {0, 0, 0, 0} end
local ids = redis.call(isList and "LRANGE" or "ZRANGE", key, skip, skip + count - 1)
local gone, ghosts, kept = {}, 0, 0
for position, id in ipairs(ids) do
  local job = prefix .. ":job:" .. id
  local isJob = kind(job) == "hash"
  if isJob and stays(id, job) then
    kept = kept + 1
  else
    gone[#gone + 1] = position
    if not isJob then ghosts = ghosts + 1 end
    local dependencies = prefix .. ":job::" .. id .. ":dependencies"
    if kind(dependencies) == "set" then
      for _, each in ipairs(redis.call("SRANDMEMBER", dependencies, MOST)) do
        local dependents = prefix .. ":job:" .. each .. ":dependents"
        if kind(dependents) == "set" then redis.call("SREM", dependents, id) end
      end
    end
    redis.call("UNLINK", job, job .. ":dependents", dependencies, prefix .. ":results:" .. id,
      prefix .. ":executions:" .. id)
  end
end
-- What changes a list in place is refused when the server is out of memory, which may be why it is being emptied.
if #gone > 0 and not isList then
  for _, position in ipairs(gone) do redis.call("ZREM", key, ids[position]) end
elseif #gone > 0 and skip + kept == 0 then
  redis.call("LTRIM", key, #gone, -1)
elseif #gone > 0 then
  local marked = 0
  for _, position in ipairs(gone) do
    local answer = redis.pcall("LSET", key, skip + position - 1, TOMB)
    if type(answer) == "table" and answer.err then
      redis.call("LREM", key, 1, ids[position])
    else
      marked = marked + 1
    end
  end
  if marked > 0 then redis.call("LREM", key, marked, TOMB) end
end
return {#ids, #gone, ghosts, kept}
"""
