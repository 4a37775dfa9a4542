#!/usr/bin/python
# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module redis_health_info."""

from __future__ import annotations

DOCUMENTATION = r"""
module: redis_health_info
version_added: 0.1.0
short_description: Everything about a Redis server's health, as facts
description:
  - Reads C(INFO), the settings, the slow log and a few round trips of a Redis or Valkey server in one connection
    and returns them as facts with units in their names.
  - Of a Redis Cluster it measures the node it is connected to; with sentinels, the master they name.
  - A server that is down, refuses the login or is still loading is not a failure of the task.
    It is reported with RV(available) and RV(reason).
  - What the ACL user may not read, or the service does not offer, is null in RV(health) and listed in
    RV(skipped_sections) with the missing permission. All of them are listed at once.
options:
  slowlog_entries:
    description:
      - How many of the newest entries of the slow log to read. V(0) leaves the slow log alone.
      - Arguments of the commands are never returned, because they hold data.
    type: int
    default: 128
  ping_samples:
    description:
      - How many round trips to measure.
    type: int
    default: 5
  sample_seconds:
    description:
      - Seconds between two looks at the counters, to know the hit rate of now.
        With V(0) the module does not wait, and the hit rate is that of the server's whole life.
    type: float
    default: 0.0
  config_file:
    description:
      - Path of the server's configuration file, where the module runs on the server's host, to look for mistakes in it.
        The server would meet them at its next start. It is also compared with the settings that the server runs with.
      - With V(auto) it is the path that the server names, if the server is a process of this host.
      - A file is looked at even when the server is not available, which it may be the cause of. Passwords are never
        returned.
    type: str
    version_added: 0.3.0
extends_documentation_fragment:
  - runbook.ops.redis
  - runbook.ops.attributes
  - runbook.ops.attributes.info_module
  - runbook.ops.attributes.actiongroup_redis
seealso:
  - module: runbook.ops.redis_queue_info
  - module: runbook.ops.redis_key_info
author:
  - The runbook.ops contributors (@runbook-ops)
"""

EXAMPLES = r"""
- name: Measure a Redis server
  runbook.ops.redis_health_info:
    login_host: redis.internal
    login_user: monitoring
    login_password: "{{ redis_login_password }}"
    tls: true
    ca_certs: /etc/ssl/internal-ca.pem
  register: redis_facts

- name: Judge it
  ansible.builtin.set_fact:
    redis_findings: >-
      {{ redis_facts | runbook.ops.judge(rules, host=inventory_hostname) }}
  vars:
    rules:
      - id: redis.available
        value: available
        critical: "== false"
        unit: bool
        gate: true
        summary: "{reason}"
      - id: redis.clients
        value: health.clients.used_percent
        warning: "> 80 %"
        critical: "> 95 %"
        unit: percent
        summary: "{value} of the clients that are allowed are connected"

- name: The hit rate of the last ten seconds
  runbook.ops.redis_health_info:
    login_host: redis.internal
    sample_seconds: 10

- name: Would it start again?
  runbook.ops.redis_health_info:
    config_file: /etc/redis/redis.conf
  delegate_to: redis.internal
"""

RETURN = r"""
available:
  description: Whether the server answered.
  returned: always
  type: bool
reason:
  description: Why it is not available, and what to do next; null if it is.
  returned: always
  type: str
measured_at:
  description: When this was measured, ISO 8601 in UTC.
  returned: always
  type: str
  sample: "2026-01-31T00:15:00Z"
notes:
  description: What a reader must know before believing the figures.
  returned: always
  type: list
  elements: str
  sample:
    - >-
      10.0.0.1:6379 is one node of a Redis Cluster with 3 primaries; apart from section cluster the figures are its own.
      Measure every node.
  version_added: 0.3.0
skipped_sections:
  description: What could not be read.
  returned: always
  type: list
  elements: dict
  contains:
    section:
      description: The key of RV(health) that is concerned.
      type: str
    reason:
      description: Why it could not be read.
      type: str
      sample: the ACL does not grant +config|get
    remedy:
      description: What to do about it.
      type: str
      sample: "Grant it: ACL SETUSER monitoring +config|get"
config_file:
  description: What the server's configuration file would do at the next start.
  returned: always
  type: dict
  version_added: 0.3.0
  contains:
    path:
      description: The file.
      type: str
    reason:
      description: Why it was not looked at; null if it was.
      type: str
    critical_count:
      description: Lines with which the server does not start.
      type: int
    warning_count:
      description: Settings that the next start would change.
      type: int
    entries:
      description: >-
        What is wrong, with C(setting), C(value), C(severity) (V(critical), V(warning) or V(hint)), C(reason) and
        C(remedy). Empty without O(config_file), null if the file could not be read.
      type: list
      elements: dict
      sample:
        - setting: maxmemory
          value: "2gb # half of the machine"
          severity: critical
          reason: >-
            line 3: there are no comments behind a value; the server takes '# half of the machine' as more values, and
            does not start
          remedy: Put the comment on a line of its own.
health:
  description:
    - The figures, by section. Empty when the server is not available. A figure that is not known is null.
    - Names ending in C(_total) count since the server's start or the last C(CONFIG RESETSTAT).
  returned: always
  type: dict
  contains:
    server:
      description: Which server this is.
      type: dict
      contains:
        name:
          description: The product, such as V(redis) or V(valkey).
          type: str
        version:
          description: Its version.
          type: str
        mode:
          description: V(standalone), V(sentinel) or V(cluster).
          type: str
        role:
          description: V(master) or V(replica).
          type: str
        uptime_seconds:
          description: How long it has been running.
          type: int
        os:
          description: The operating system it runs on.
          type: str
        process_id:
          description: Its process.
          type: int
        port:
          description: The port it listens on.
          type: int
        config_file:
          description: Its configuration file, if it has one.
          type: str
        clock_skew_seconds:
          description: How far its clock and the clock of the host that ran the module are apart.
          type: float
    memory:
      description: Memory against its limit.
      type: dict
      contains:
        used_bytes:
          description: Memory in use.
          type: int
        peak_bytes:
          description: The most that was ever in use.
          type: int
        rss_bytes:
          description: What the operating system gave to it.
          type: int
        dataset_bytes:
          description: The data themselves.
          type: int
        maxmemory_bytes:
          description: The limit; null without one.
          type: int
        limited:
          description: Whether there is a limit.
          type: bool
        used_percent:
          description: What counts for eviction, of the limit. Null without a limit.
          type: float
        policy:
          description: The eviction policy.
          type: str
        system_bytes:
          description: Memory of the machine the server sees.
          type: int
        system_percent:
          description: RV(health.memory.rss_bytes) of RV(health.memory.system_bytes).
          type: float
        fragmentation_meaningful:
          description: Whether so much memory is in use (100 MiB) that the ratio says something.
          type: bool
        fragmentation_ratio:
          description: Memory taken from the operating system per memory in use. Null where it says nothing.
          type: float
        lazyfree_pending_count:
          description: Objects that wait to be freed in the background.
          type: int
        overhead_bytes:
          description: Memory that holds no data, such as buffers and the tables of keys.
          type: int
        overhead_percent:
          description: RV(health.memory.overhead_bytes) of RV(health.memory.used_bytes).
          type: float
        startup_bytes:
          description: What the empty server took.
          type: int
        clients_bytes:
          description: Buffers of clients.
          type: int
        replicas_bytes:
          description: Buffers of replicas.
          type: int
        replication_backlog_bytes:
          description: What is kept for replicas that come back.
          type: int
        aof_buffer_bytes:
          description: What waits to be written to the append-only file.
          type: int
        scripts_bytes:
          description: Lua scripts. Null on servers that do not say.
          type: int
    clients:
      description: Connections against their limit.
      type: dict
      contains:
        connected_count:
          description: Connected clients, without replicas.
          type: int
        blocked_count:
          description: Clients that wait in a blocking command, as idle queue workers do.
          type: int
        max_count:
          description: The limit.
          type: int
        used_percent:
          description: Connected clients of the limit.
          type: float
        rejected_total:
          description: Connections turned away because the limit was reached.
          type: int
        largest_output_buffer_bytes:
          description: The largest output buffer of a client of late.
          type: int
    persistence:
      description: What would survive a crash.
      type: dict
      contains:
        kind:
          description: V(none), V(rdb), V(aof) or V(rdb+aof).
          type: str
        loading:
          description: Whether the server is loading its files.
          type: bool
        loading_percent:
          description: How much of them it has loaded.
          type: float
        loading_eta_seconds:
          description: How long the rest will take.
          type: int
        rdb_enabled:
          description: Whether snapshots are taken automatically.
          type: bool
        rdb_last_save_age_seconds:
          description: Time since the last snapshot, or since the start if there was none since.
          type: int
        rdb_saved_since_start:
          description: Whether a snapshot has been finished since the start.
          type: bool
        rdb_changes_count:
          description: Changes that no snapshot holds.
          type: int
        rdb_unsaved_seconds:
          description: Age of the oldest change that no snapshot may hold, or 0. Null if snapshots are off.
          type: int
        rdb_last_status:
          description: V(ok) or V(err). Reads V(ok) before the first snapshot.
          type: str
        rdb_last_duration_seconds:
          description: How long the last snapshot took.
          type: int
        rdb_in_progress:
          description: Whether a snapshot is being taken.
          type: bool
        aof_enabled:
          description: Whether the append-only file is on.
          type: bool
        aof_last_write_status:
          description: V(ok) or V(err).
          type: str
        aof_last_rewrite_status:
          description: V(ok) or V(err).
          type: str
        aof_rewrite_in_progress:
          description: Whether it is being rewritten.
          type: bool
        aof_rewrite_scheduled:
          description: Whether it will be rewritten as soon as the running snapshot is finished.
          type: bool
        aof_rewrite_last_duration_seconds:
          description: How long the last rewrite took.
          type: int
        aof_size_bytes:
          description: Its size.
          type: int
        aof_base_size_bytes:
          description: Its size after the last rewrite.
          type: int
        aof_delayed_fsync_total:
          description: Writes that had to wait for the disk. Null without an append-only file.
          type: int
        forks_total:
          description: Copies the server made of itself, for snapshots and rewrites. Null on servers that do not count.
          type: int
        forked:
          description: Whether it ever made one.
          type: bool
        last_fork_milliseconds:
          description: How long it stood still for the last one. Null before the first.
          type: float
        rdb_last_copy_on_write_bytes:
          description: Memory that the last snapshot took on top.
          type: int
        aof_last_copy_on_write_bytes:
          description: Memory that the last rewrite took on top.
          type: int
        writes_refused:
          description: Whether the server refuses all writes because it cannot save (C(MISCONF)).
          type: bool
        writes_refused_reason:
          description: Its own words about that.
          type: str
    replication:
      description: A replica's link, or a master's replicas.
      type: dict
      contains:
        role:
          description: V(master) or V(replica).
          type: str
        master:
          description: Address of a replica's master.
          type: str
        link_status:
          description: V(up) or V(down), on a replica.
          type: str
        link_down_seconds:
          description: How long the link has been down.
          type: int
        lag_seconds:
          description: Time since the master was last heard of.
          type: int
        sync_in_progress:
          description: Whether the replica is copying the whole data set.
          type: bool
        read_only:
          description: Whether the replica refuses writes.
          type: bool
        replicas_count:
          description: Connected replicas.
          type: int
        replicas:
          description: One entry a replica with C(address), C(state), C(lag_seconds) and C(lag_bytes).
          type: list
          elements: dict
    cluster:
      description: The Redis Cluster, as this node of it sees it.
      type: dict
      version_added: 0.3.0
      contains:
        enabled:
          description: Whether this is a node of a Redis Cluster. If not, everything else here is null.
          type: bool
        state:
          description: V(ok) or V(fail).
          type: str
        slots_assigned_count:
          description: Slots, of 16384, that some primary serves.
          type: int
        slots_ok_count:
          description: Slots whose primary can be reached.
          type: int
        slots_suspected_count:
          description: Slots whose primary this node cannot reach.
          type: int
        slots_failed_count:
          description: Slots whose primary the other nodes cannot reach either.
          type: int
        slots_unserved_count:
          description: Slots that no primary serves.
          type: int
        nodes_count:
          description: Nodes it knows, with replicas.
          type: int
        primaries_count:
          description: Primaries that serve slots.
          type: int
    stats:
      description: Traffic and losses.
      type: dict
      contains:
        operations_per_second:
          description: Commands in the last moments.
          type: int
        hit_percent:
          description: Lookups that found their key. Null if there were none.
          type: float
        hit_basis:
          description: V(sample) or V(lifetime), the time that RV(health.stats.hit_percent) is about.
          type: str
        hit_includes_queues:
          description:
            - Whether workers of job queues read from this server too, so that the hit rate is not the cache's alone.
            - Waiting for jobs (C(BRPOP), C(BZPOPMIN)) is no lookup. C(LLEN) and C(HGET), and what the libraries'
              scripts read, are.
          type: bool
        hits_count:
          description: Lookups in that time that found their key.
          type: int
        misses_count:
          description: Lookups in that time that did not.
          type: int
        lookups_count:
          description: Both together.
          type: int
        sample_seconds:
          description: Time between the samples; null if there was only one.
          type: float
        commands_total:
          description: Commands executed.
          type: int
        expired_keys_total:
          description: Keys whose time was over.
          type: int
        evicted_keys_total:
          description: Keys thrown out for lack of memory.
          type: int
        rejected_connections_total:
          description: Connections turned away because the limit was reached.
          type: int
        errors_total:
          description: Error replies.
          type: int
        errors:
          description: Error replies by code.
          type: dict
        keys_count:
          description: Keys in all databases.
          type: int
        dbsize:
          description: Keys in database O(login_db).
          type: int
        databases:
          description: One entry a database that holds keys, with C(db), C(keys), C(expires) and C(avg_ttl_seconds).
          type: list
          elements: dict
    slowlog:
      description: The slow log, without arguments.
      type: dict
      contains:
        length:
          description: Entries in the log.
          type: int
        threshold_seconds:
          description: Commands slower than this are logged. Null if the log is switched off.
          type: float
        entries_read:
          description: Entries that were read.
          type: int
        truncated:
          description: Whether there are more.
          type: bool
        slowest_last_day_seconds:
          description: The slowest command of the last 24 hours; 0 if none was slower than the threshold.
          type: float
        last_day_count:
          description: Slow commands in the last 24 hours.
          type: int
        commands:
          description: >-
            The ten slowest kinds of command with C(command), C(count), C(slowest_seconds) and C(last_age_seconds).
          type: list
          elements: dict
        commands_count:
          description: How many kinds there are.
          type: int
    config:
      description: Settings that decide whether jobs survive and who may come in.
      type: dict
      contains:
        queue_evidence:
          description: Signs that job queues live on this server.
          type: list
          elements: str
        queues_present:
          description: Whether there are such signs.
          type: bool
        eviction_risk:
          description:
            - What eviction may do to jobs.
            - One of V(none), V(expiring) (results and rate counters) or V(any) (jobs themselves).
          type: str
        jobs_not_persisted:
          description: Whether there are queues but neither snapshots nor an append-only file.
          type: bool
        bind:
          description: The addresses it listens on.
          type: str
        protected_mode:
          description: Whether protected mode is on.
          type: bool
        auth_required:
          description: Whether a client without credentials is turned away.
          type: bool
        exposed_without_auth:
          description: Whether anybody on the network gets in without a password.
          type: bool
        save:
          description: When snapshots are taken.
          type: str
        appendonly:
          description: Whether the append-only file is configured.
          type: str
        appendfsync:
          description: When it is flushed to disk.
          type: str
        databases_count:
          description: How many databases there are.
          type: int
    config_lint:
      description: Settings that cost jobs, memory or sleep sooner or later.
      type: dict
      version_added: 0.3.0
      contains:
        entries:
          description: >-
            One entry a setting with C(setting), C(value), C(severity) (V(warning), or V(hint) for what may be meant
            so), C(reason), C(remedy), and C(also_in), the figure of RV(health) that says the same. Null if the server
            does not tell its settings.
          type: list
          elements: dict
        warnings_count:
          description: How many are wrong wherever they are found.
          type: int
        hints_count:
          description: How many may be meant so.
          type: int
    latency:
      description: Round trips of C(PING) from the host that ran the module, and what the server knows itself.
      type: dict
      contains:
        samples_count:
          description: How many were measured.
          type: int
        ping_min_milliseconds:
          description: The shortest.
          type: float
        ping_median_milliseconds:
          description: The median.
          type: float
        ping_max_milliseconds:
          description: The longest.
          type: float
        monitored:
          description: Whether the server's latency monitor is on.
          type: bool
        monitor_threshold_milliseconds:
          description: What it takes notice of. Null if it is off.
          type: int
        events:
          description: >-
            What it has seen, with C(event), C(last_age_seconds), C(last_milliseconds) and C(longest_milliseconds), the
            longest first. Null if it is off and has seen nothing.
          type: list
          elements: dict
        commands:
          description: >-
            The ten commands that take longest in one call of a hundred, with C(command), C(calls_total),
            C(p50_milliseconds), C(p99_milliseconds) and C(p999_milliseconds). Empty before Redis 7.0.
          type: list
          elements: dict
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.runbook.ops.plugins.module_utils.common.clock import iso, utc_now
from ansible_collections.runbook.ops.plugins.module_utils.common.errors import RunbookError
from ansible_collections.runbook.ops.plugins.module_utils.redis.health.report import health_report
from ansible_collections.runbook.ops.plugins.module_utils.redis.options import redis_argument_spec


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            **redis_argument_spec(),
            "slowlog_entries": {"type": "int", "default": 128},
            "ping_samples": {"type": "int", "default": 5},
            "sample_seconds": {"type": "float", "default": 0.0},
            "config_file": {"type": "str"},
        },
        supports_check_mode=True,
    )
    try:
        result = health_report(module.params)
    except RunbookError as error:
        module.fail_json(msg=error.message, **error.details)
    module.exit_json(changed=False, measured_at=iso(utc_now()), **result)


if __name__ == "__main__":
    main()
