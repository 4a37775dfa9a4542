#!/usr/bin/python
# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is wrong in a cluster or its namespaces, and why."""

from __future__ import annotations

DOCUMENTATION = r"""
module: k8s_health_info
short_description: Gather what is wrong in a Kubernetes cluster or its namespaces, and why
version_added: 0.7.0
description:
  - Tells for each pod that is unwell the one reason that explains most, in Kubernetes' own words, with the exit code
    and the signal of its last run, the image, the probe, or the Secret or ConfigMap key that is missing, by name. Pods
    of one workload with the same reason are one group.
  - A pod that runs without being ready is unwell, and one that has completed its job is not. C(kubectl get pods) with
    C(grep -v Running) has both the wrong way round.
  - Tells what workloads should be against what is there, those that are expected and missing included; failed, slow and
    late jobs, and what is wrong with the definition of scheduled ones; autoscalers at their ceiling or without figures;
    claims; the days that certificates have left; services without ready endpoints; nodes; warnings, grouped; objects
    that are written with versions of the API that are gone.
  - Every kind is listed once, in large pages, and shared by all sections. The default O(sections) take ten
    requests for a namespace, however many pods it has, up to 2,000, and eleven for a whole cluster with its nodes.
  - What cannot be read is in RV(skipped_sections), with the verb and the resource to grant. A cluster that is down
    gives RV(available=false), not a failure.
author:
  - The runbook.ops contributors (@runbook-ops)
extends_documentation_fragment:
  - runbook.ops.attributes
  - runbook.ops.attributes.info_module
  - runbook.ops.attributes.actiongroup_k8s
  - runbook.ops.kubernetes
options:
  namespaces:
    description:
      - The namespaces to look at. All, if empty.
      - Several are read by one listing of the whole cluster, and one by one where that is not allowed, or where the
        cluster has many more objects in others.
    type: list
    elements: str
    default: []
  sections:
    description:
      - What to look at. V(pods), V(workloads), V(jobs), V(autoscalers), V(claims), V(certificates), V(events) and
        where O(namespaces) is empty as well V(nodes), if empty.
      - V(budgets), V(ingresses) and V(version) take one request each, V(services), V(usage) and V(references) two, and
        V(volumes) one for each node with a pod that mounts a claim.
      - V(services) needs the workloads as well where a Service selects no pod. Without V(workloads) they are listed
        only then.
      - V(volumes) asks the kubelets, which needs the verb C(get) on C(nodes/proxy). That allows to read more than
        figures; where Prometheus has C(kubelet_volume_stats_used_bytes), ask it instead.
      - V(references) lists Secrets and ConfigMaps to compare the names of their keys with what pods need. Their values
        are let go at once.
    type: list
    elements: str
    choices:
      - pods
      - workloads
      - jobs
      - autoscalers
      - claims
      - certificates
      - events
      - nodes
      - services
      - usage
      - budgets
      - ingresses
      - references
      - volumes
      - version
    default: []
  workloads:
    description:
      - Workloads that have to be there. One that is missing shows nothing in a listing, and is told here.
    type: list
    elements: dict
    default: []
    suboptions:
      kind:
        description: Its kind.
        type: str
        choices: [deployment, statefulset, daemonset]
        default: deployment
      name:
        description: Its name.
        type: str
        required: true
      namespace:
        description: Its namespace. May be left out where O(namespaces) has one.
        type: str
      exactly:
        description: How many pods it must have, neither more nor fewer, such as V(1) for a scheduler.
        type: int
  restart_window:
    description:
      - Seconds within which a restart, or an end for want of memory, is a recent one. The count of restarts is that of
        a pod's whole life.
    type: int
    default: 3600
  starting_after:
    description:
      - Seconds that containers may take to be made and initialized.
    type: int
    default: 300
  pending_after:
    description:
      - Seconds that a pod may wait for a node. A cluster that adds nodes by itself takes minutes for that.
    type: int
    default: 300
  not_ready_after:
    description:
      - Seconds that a running pod may be not ready, as it is while it starts.
    type: int
    default: 180
  terminating_after:
    description:
      - Seconds that a pod may be there after its grace period.
    type: int
    default: 60
  event_window:
    description:
      - Seconds within which warnings count.
    type: int
    default: 3600
  max_pods:
    description:
      - How many pods to read at most.
    type: int
    default: 20000
  max_unhealthy:
    description:
      - How many unhealthy pods to list one by one. All are in RV(pods.groups).
    type: int
    default: 200
  max_events:
    description:
      - How many warnings to read at most.
    type: int
    default: 5000
  reference_time:
    description:
      - The moment that counts as now, in ISO 8601 with its timezone. Now, if not given.
    type: str
notes:
  - Needs the verb C(list) on what is looked at, in the namespaces or in the whole cluster; C(nodes) with a ClusterRole.
seealso:
  - module: runbook.ops.k8s_log_info
  - module: kubernetes.core.k8s_info
"""

EXAMPLES = r"""
- name: Look at the namespace of the shop
  runbook.ops.k8s_health_info:
    namespaces: [shop]
    workloads:
      - name: web
      - name: beat
        exactly: 1
  register: shop

- name: Show what is wrong with its pods
  ansible.builtin.debug:
    msg: "{{ item.pods_count }} of {{ item.name }}: {{ item.reason }}, {{ item.detail }}"
  loop: "{{ shop.pods.groups }}"
  loop_control:
    label: "{{ item.name }}"

- name: Look at nothing but certificates, in the whole cluster
  runbook.ops.k8s_health_info:
    sections: [certificates]
"""

RETURN = r"""
available:
  description:
    - Whether anything could be read.
    - When it is V(false), RV(reason) says why and all sections are V(null).
  returned: always
  type: bool
  sample: true
reason:
  description: Why nothing could and what to do next, without secrets. V(null) when RV(available=true).
  returned: always
  type: str
measured_at:
  description: The moment from which ages count, ISO 8601 in UTC.
  returned: always
  type: str
  sample: "2026-01-31T08:00:00Z"
cluster:
  description: The address of the API server.
  returned: always
  type: str
  sample: https://k8s.example.com:6443
is_truncated:
  description: Whether there is more of any kind than was read. V(null) when not available.
  returned: always
  type: bool
truncated:
  description: The kinds of which there are more than were read.
  returned: always
  type: list
  elements: str
skipped_sections:
  description: What could not be read.
  returned: always
  type: list
  elements: dict
  contains:
    section:
      description: The facts that are V(null) for it.
      type: str
    reason:
      description: Why.
      type: str
    remedy:
      description: What helps, such as the verb and the resource to grant.
      type: str
    is_absent:
      description: Whether it is of an add-on that the cluster does not have, which is no fault of its own.
      type: bool
    is_partial:
      description: Whether the rest of the section was read, so that its facts are not V(null).
      type: bool
namespaces:
  description: The namespaces of O(namespaces).
  returned: always
  type: list
  elements: dict
  contains:
    name:
      description: Its name.
      type: str
    exists:
      description: Whether it is there. V(null) when that cannot be read.
      type: bool
    is_terminating:
      description: Whether it is being deleted, with all that is in it. V(null) when that cannot be read.
      type: bool
pods:
  description: The pods. V(null) when they could not be listed or are not asked for, as every section.
  returned: always
  type: dict
  contains:
    total_count:
      description: How many there are.
      type: int
    ready_count:
      description: How many are ready.
      type: int
    completed_count:
      description: How many have completed their work. They are not unwell.
      type: int
    by_phase:
      description: How many are in each phase.
      type: dict
    unhealthy_count:
      description: How many are unwell.
      type: int
    unhealthy:
      description: Each that is unwell, once, at most O(max_unhealthy).
      type: list
      elements: dict
      contains:
        name:
          description: Its name.
          type: str
        namespace:
          description: Its namespace.
          type: str
        kind:
          description: The kind of what made it, V(deployment) for one whose ReplicaSet did; V(pod) where nothing did.
          type: str
        workload:
          description: The name of what made it.
          type: str
        phase:
          description: Such as V(Running).
          type: str
        ready:
          description: Whether it is ready. V(null) when that is not known.
          type: bool
        reason:
          description: Kubernetes' word, such as V(CrashLoopBackOff), V(OOMKilled), V(Unschedulable) or V(NotReady).
          type: str
        detail:
          description: A sentence with what is known, never with the value of a key.
          type: str
        effect:
          description:
            - V(broken) when it does not do its work; V(recovered) when it was ended for want of memory lately and does
              it again; V(left_over) when it has failed or was evicted, so that another one took its place, or when it
              does not go away.
          type: str
        container:
          description: The container that it is about.
          type: str
        restarts:
          description: How often its containers were restarted in its whole life.
          type: int
        last_exit_code:
          description: The exit code of the last run that ended.
          type: int
        last_signal:
          description: The signal that ended it, such as V(SIGKILL).
          type: str
        since_seconds:
          description: For how long it has been so, as far as that is known.
          type: int
        node:
          description: The node that it is on.
          type: str
    groups:
      description: The same by workload, reason and effect. RV(pods.groups[].detail) is that of the first one.
      type: list
      elements: dict
      contains:
        name:
          description: Namespace and workload.
          type: str
        namespace:
          description: Its namespace.
          type: str
        kind:
          description: The workload's kind.
          type: str
        workload:
          description: The workload's name.
          type: str
        reason:
          description: See RV(pods.unhealthy[].reason).
          type: str
        detail:
          description: See RV(pods.unhealthy[].detail).
          type: str
        effect:
          description: See RV(pods.unhealthy[].effect).
          type: str
        container:
          description: The container that it is about.
          type: str
        pods_count:
          description: How many pods.
          type: int
        workload_pods_count:
          description: How many pods the workload has, those that have ended or are being deleted left out.
          type: int
        workload_ready_count:
          description: How many of them are ready.
          type: int
        restarts:
          description: Restarts of all of them.
          type: int
        last_exit_code:
          description: That of the first one.
          type: int
        last_signal:
          description: That of the first one.
          type: str
        since_seconds:
          description: The longest.
          type: int
        pods:
          description: Names of five at most.
          type: list
          elements: str
        nodes:
          description: Their nodes, five at most.
          type: list
          elements: str
    restarted:
      description: Workloads of which pods were restarted within O(restart_window) and are well now.
      type: list
      elements: dict
      contains:
        name:
          description: Namespace and workload.
          type: str
        namespace:
          description: Its namespace.
          type: str
        kind:
          description: The workload's kind.
          type: str
        workload:
          description: The workload's name.
          type: str
        pods_count:
          description: How many pods.
          type: int
        restarts:
          description: Their restarts in their whole life.
          type: int
        last_seconds:
          description: How long ago the last one was.
          type: int
        last_exit_code:
          description: The exit code before it.
          type: int
        last_ending:
          description: The same in words.
          type: str
        pods:
          description: Names of five at most.
          type: list
          elements: str
workloads:
  description: Deployments, StatefulSets and DaemonSets.
  returned: always
  type: list
  elements: dict
  contains:
    name:
      description: Namespace and name.
      type: str
    kind:
      description: Its kind.
      type: str
    namespace:
      description: Its namespace.
      type: str
    workload:
      description: Its name.
      type: str
    is_expected:
      description: Whether it is in O(workloads).
      type: bool
    is_missing:
      description:
        - Whether it is expected and not there. All figures are V(null) then. V(null) when its kind could not be listed.
      type: bool
    desired_count:
      description: How many pods it should have.
      type: int
    updated_count:
      description: How many are of its newest definition.
      type: int
    ready_count:
      description: How many are ready.
      type: int
    available_count:
      description: How many are available.
      type: int
    unavailable_count:
      description: How many are lacking.
      type: int
    unexplained_count:
      description:
        - How many of those are lacking for another reason than its pods' problems in RV(pods), their start, or the end
          of those that they replace.
      type: int
    broken_pods_count:
      description: How many of its pods are broken.
      type: int
    live_pods_count:
      description: How many pods it has, those that have ended or are being deleted left out.
      type: int
    is_down:
      description: Whether none of its pods is available, and some should be.
      type: bool
    is_paused:
      description: Whether its rollout is paused.
      type: bool
    is_stuck:
      description: Whether its rollout has made no progress for too long.
      type: bool
    waits_for_deletion:
      description: Whether pods get its newest definition only when somebody deletes them, by its strategy V(OnDelete).
      type: bool
    is_rolled_out:
      description: Whether its newest definition is what runs.
      type: bool
    reason:
      description: Why it is stuck or lacks pods, as far as the workload itself says so; a quota, for example.
      type: str
    generation_lag:
      description: How many changes its controller has not looked at.
      type: int
    is_settling:
      description: Whether it was made, scaled or changed within the last minute.
      type: bool
    revision:
      description: Its revision.
      type: str
    is_parked:
      description: Whether it was parked on purpose.
      type: bool
    is_scaled_to_zero:
      description: Whether it should have no pods at all.
      type: bool
    has_exact_count:
      description: Whether O(workloads[].exactly) is given.
      type: bool
    exact_count:
      description: That count.
      type: int
    is_exact:
      description: Whether exactly so many pods are asked for and there.
      type: bool
    may_overlap:
      description: Whether an update starts a second pod of what must be one, before the first has ended.
      type: bool
    gitops_owner:
      description: Who puts it back to what a Git repository says.
      type: str
    images:
      description: The images of its containers.
      type: list
      elements: dict
      contains:
        container:
          description: The container.
          type: str
        image:
          description: The image as it is declared.
          type: str
        digests:
          description: What its pods run. Two of them are two versions under one name.
          type: list
          elements: str
jobs:
  description: Jobs.
  returned: always
  type: list
  elements: dict
  contains:
    name:
      description: Namespace and name.
      type: str
    namespace:
      description: Its namespace.
      type: str
    job:
      description: Its name.
      type: str
    cron_job:
      description: The CronJob that started it.
      type: str
    is_failed:
      description: Whether it has failed for good.
      type: bool
    is_superseded:
      description: Whether a later job of the same CronJob went well.
      type: bool
    reason:
      description: Kubernetes' word, such as V(BackoffLimitExceeded).
      type: str
    detail:
      description: A sentence, with how its pod ended where there still is one.
      type: str
    failed_seconds:
      description: How long ago it failed.
      type: int
    is_active:
      description: Whether it goes on.
      type: bool
    active_seconds:
      description: For how long.
      type: int
    is_starved:
      description: Whether no pod of it was ever made, in a quarter of an hour.
      type: bool
    succeeded_count:
      description: Pods that ended well.
      type: int
    failed_count:
      description: Pods that did not.
      type: int
cron_jobs:
  description: CronJobs.
  returned: always
  type: list
  elements: dict
  contains:
    name:
      description: Namespace and name.
      type: str
    namespace:
      description: Its namespace.
      type: str
    cron_job:
      description: Its name.
      type: str
    schedule:
      description: When it is due.
      type: str
    time_zone:
      description: The timezone of that. Without one the controller's counts; it is taken to be UTC.
      type: str
    is_suspended:
      description: Whether it starts nothing.
      type: bool
    is_parked:
      description: Whether it was parked on purpose.
      type: bool
    active_count:
      description: Jobs of it that go on.
      type: int
    last_schedule_age_seconds:
      description: How long ago it started a job last.
      type: int
    last_success_age_seconds:
      description: How long ago one went well; since it is there, where none ever did. V(null) when it has not run yet.
      type: int
    has_succeeded:
      description: Whether one ever went well.
      type: bool
    has_run:
      description: Whether it ever started one.
      type: bool
    interval_seconds:
      description: The longest time between two starts by its schedule, such as over a weekend.
      type: int
    success_age_intervals:
      description: How many such times, of a quarter of an hour at least, ago the last success is.
      type: float
    late_seconds:
      description: How long ago the first start was due that did not come; 0 where none is due.
      type: int
    missed_count:
      description: How many did not come.
      type: int
    is_last_failed:
      description: Whether the newest job that has ended failed. V(null) when there is none.
      type: bool
    is_backup:
      description: Whether it seems to be a backup, by its name and its command.
      type: bool
    is_zone_assumed:
      description: Whether it is due at an hour whose time zone nobody says. V(null) when the schedule cannot be read.
      type: bool
    concurrency_policy:
      description: What happens when one is due while the last one goes on.
      type: str
    may_overlap:
      description:
        - Whether two of its jobs go on at once, or can be expected to. With V(Allow) that is so when they do, when one
          took longer than until the next start, and for a backup that no deadline ends before that.
      type: bool
    overlap:
      description: Why; empty otherwise.
      type: str
    longest_run_seconds:
      description: The longest of its jobs that are there. V(null) when none has ended well or goes on.
      type: int
    starting_deadline_seconds:
      description: How late it may start. V(null) for as late as it likes.
      type: int
    is_start_impossible:
      description: Whether that is less than the controller needs.
      type: bool
    active_deadline_seconds:
      description: After how long a job is ended, or its pod. V(null) for never.
      type: int
    unbounded:
      description: The bounds that it lacks, and what that does; empty when it lacks none.
      type: str
    unbounded_count:
      description: How many.
      type: int
    successful_history_limit:
      description: How many jobs that went well are kept.
      type: int
    failed_history_limit:
      description: How many that failed are kept.
      type: int
    backoff_limit:
      description: How often a job is tried again.
      type: int
    restart_policy:
      description: V(Never) makes a new pod for each try, V(OnFailure) starts the container of the same one.
      type: str
    lost_traces:
      description: Why nobody can read later what a job did; empty when everybody can.
      type: str
    lost_traces_count:
      description: How many reasons.
      type: int
    frozen_dates:
      description:
        - Dates that are fixed in its command, in the name of a file or of the day on which it was written, as when the
          shell that applied the manifest has put in the date of that day.
      type: str
    frozen_dates_count:
      description: How many.
      type: int
    unwatched_pipes:
      description: Programs that make data in a pipe of a shell without pipefail, which ends well when they fail.
      type: str
    unwatched_pipes_count:
      description: How many.
      type: int
    plain_secrets:
      description: Where there is what looks like a secret in plain text, by name, never the value.
      type: str
    plain_secrets_count:
      description: How many such places.
      type: int
autoscalers:
  description: HorizontalPodAutoscalers.
  returned: always
  type: list
  elements: dict
  contains:
    name:
      description: Namespace and name.
      type: str
    namespace:
      description: Its namespace.
      type: str
    autoscaler:
      description: Its name.
      type: str
    target_kind:
      description: The kind of what it scales.
      type: str
    target_name:
      description: The name of that.
      type: str
    min_count:
      description: Fewest pods.
      type: int
    max_count:
      description: Most pods.
      type: int
    current_count:
      description: Pods now.
      type: int
    desired_count:
      description: Pods that it wants.
      type: int
    is_at_ceiling:
      description: Whether there are as many as it may have.
      type: bool
    is_saturated:
      description: Whether that is not enough.
      type: bool
    is_held:
      description:
        - Whether its figures ask for more pods, and its own behavior forbids to add any (C(scaleUp.selectPolicy) is
          C(Disabled)).
      type: bool
    is_fixed:
      description: Whether fewest and most are the same, so that it scales nothing.
      type: bool
    is_disabled:
      description: Whether it is switched off, because what it scales was scaled to nothing.
      type: bool
    is_blind:
      description:
        - Whether it has had no figures, or nothing to scale, for five minutes. V(null) when no controller has looked at
          it in that time.
      type: bool
    blind_reason:
      description: Why not.
      type: str
    blind_seconds:
      description: For how long.
      type: int
    blind_metrics:
      description: Those of its figures that it lacks while it scales by the others.
      type: list
      elements: str
    blind_metrics_count:
      description: How many they are.
      type: int
    highest_target_percent:
      description: The highest of its figures in percent of their targets.
      type: float
    metrics:
      description: Its figures.
      type: list
      elements: dict
      contains:
        name:
          description: Such as V(cpu).
          type: str
        target:
          description: What it aims at.
          type: str
        current:
          description: What it is.
          type: str
        target_percent:
          description: The one in percent of the other.
          type: float
claims:
  description: PersistentVolumeClaims.
  returned: always
  type: list
  elements: dict
  contains:
    name:
      description: Namespace and name.
      type: str
    namespace:
      description: Its namespace.
      type: str
    claim:
      description: Its name.
      type: str
    phase:
      description: Such as V(Bound).
      type: str
    age_seconds:
      description: Its age.
      type: int
    is_unused:
      description: Whether no pod has it among its volumes. V(null) when not all pods were read.
      type: bool
    is_waiting:
      description: Whether it has no volume yet, and no pod that needs one.
      type: bool
    storage_class:
      description: Its StorageClass.
      type: str
    volume:
      description: Its volume.
      type: str
    requested_bytes:
      description: What it asks for.
      type: int
    capacity_bytes:
      description: What it has.
      type: int
    is_growing:
      description: Whether it has less than it asks for.
      type: bool
    is_resize_failed:
      description: Whether the storage cannot have the size.
      type: bool
    resize:
      description: How far its growth is.
      type: str
    is_deleted:
      description: Whether it is being deleted.
      type: bool
certificates:
  description: Certificates of cert-manager. Empty where there is no cert-manager, which RV(skipped_sections) says.
  returned: always
  type: list
  elements: dict
  contains:
    name:
      description: Namespace and name.
      type: str
    namespace:
      description: Its namespace.
      type: str
    certificate:
      description: Its name.
      type: str
    secret:
      description: The Secret that it is kept in.
      type: str
    dns_names:
      description: The names that it is for.
      type: list
      elements: str
    is_ready:
      description: What C(READY) says. V(true) does not mean that it lasts.
      type: bool
    reason:
      description: Why it is not ready.
      type: str
    is_issued:
      description: Whether it was ever issued.
      type: bool
    not_after:
      description: When it ends.
      type: str
    days_left:
      description: Days until then, below 0 when it is over.
      type: float
    lifetime_days:
      description: Days from its begin to its end.
      type: float
    is_short_lived:
      description: Whether those are fewer than 45, so that days say little.
      type: bool
    lifetime_left_percent:
      description: The share of its lifetime that is left.
      type: float
    is_new:
      description: Whether it was never issued, and is younger than a quarter of an hour.
      type: bool
    renewal_overdue_seconds:
      description: For how long it should have been renewed; 0 when that is still to come.
      type: int
    failed_attempts_count:
      description: Attempts to issue it that failed one after the other.
      type: int
events:
  description: Warnings within O(event_window), by reason and workload, the most frequent first.
  returned: always
  type: list
  elements: dict
  contains:
    name:
      description: Namespace and workload, or another object.
      type: str
    reason:
      description: Kubernetes' word.
      type: str
    kind:
      description: The kind of the workload or object.
      type: str
    namespace:
      description: Its namespace.
      type: str
    workload:
      description: Its name.
      type: str
    count:
      description: How often.
      type: int
    objects_count:
      description: About how many objects, such as pods.
      type: int
    last_seconds:
      description: How long ago the newest was.
      type: int
    message:
      description: What the newest one says, without what looks like a secret.
      type: str
    is_explained:
      description: Whether a pod of it is broken, which RV(pods) says.
      type: bool
nodes:
  description: Nodes.
  returned: always
  type: list
  elements: dict
  contains:
    name:
      description: Its name.
      type: str
    is_ready:
      description: Whether it is ready. V(null) when nobody says.
      type: bool
    reason:
      description: Why not.
      type: str
    not_ready_seconds:
      description: For how long not.
      type: int
    is_joining:
      description: Whether it is not ready because it has just come.
      type: bool
    pressures:
      description: What it is short of, such as V(MemoryPressure).
      type: list
      elements: str
    pressures_count:
      description: Of how many things.
      type: int
    is_schedulable:
      description: Whether it takes new pods; C(kubectl cordon) closes it.
      type: bool
    closed_seconds:
      description: For how long it has been closed, as far as the cluster notes it.
      type: int
    age_seconds:
      description: Its age.
      type: int
    kubelet_version:
      description: The version of its kubelet.
      type: str
    platform:
      description: Its operating system and the architecture of its processor. V(null) when it does not say.
      type: str
      sample: linux/amd64
    allocatable_cpu_cores:
      description: Processors for pods.
      type: float
    allocatable_memory_bytes:
      description: Memory for pods.
      type: int
    allocatable_pods_count:
      description: How many pods it takes.
      type: int
    is_load_known:
      description: Whether all pods of the cluster were read, so that what is asked for of it is known.
      type: bool
    pods_count:
      description: How many pods it has.
      type: int
    pods_percent:
      description: The same in percent of what it takes.
      type: float
    requested_cpu_percent:
      description: What its pods ask for, in percent of RV(nodes[].allocatable_cpu_cores).
      type: float
    requested_memory_percent:
      description: The same for memory.
      type: float
    used_cpu_percent:
      description: What is taken. Only with V(usage) in O(sections) and a metrics server.
      type: float
    used_memory_percent:
      description: The same for memory.
      type: float
services:
  description: Services with a selector, and those with EndpointSlices of somebody else.
  returned: always
  type: list
  elements: dict
  contains:
    name:
      description: Namespace and name.
      type: str
    namespace:
      description: Its namespace.
      type: str
    service:
      description: Its name.
      type: str
    ready_count:
      description: Endpoints that are ready.
      type: int
    not_ready_count:
      description: Those that are not.
      type: int
    selector:
      description: Its selector. V(null) for one without, and when Services could not be listed.
      type: str
      sample: app=web,tier=front
    selected_count:
      description: How many pods it selects, those that have ended or are being deleted left out.
      type: int
    state:
      description:
        - V(ready) with a ready endpoint, and V(not_ready) when it has pods, or a workload that should have some, and
          none is ready.
        - V(selects_nothing) when no pod and no workload has its labels.
        - V(parked) and V(scaled_to_zero) when its workload has no pods on purpose, V(between_runs) when that is a job,
          V(other_side) for the one of blue and green that is not in use, V(headless) for one that selects nothing and
          gives no StatefulSet its names, V(no_selector) when somebody else keeps its endpoints.
        - V(null) when it has no endpoints and not enough could be read to tell why.
      type: str
    selects_nothing:
      description: Whether RV(services[].state=selects_nothing).
      type: bool
    nearest:
      description:
        - Whose pods have one of its labels, or a value that is spelled almost like it, and by what they differ. V(null)
          where there are none, and where it selects pods.
      type: str
      sample: the pods of deployment web have tier=frontend
    is_routed:
      description: Whether an Ingress leads to it. Ingresses are known only with V(ingresses) in O(sections).
      type: bool
    is_idle:
      description:
        - Whether it is meant to have no endpoints, as one that is parked, or the other side of blue and green. One that
          an Ingress leads to is so only when its workload is parked or a job. V(null) when that cannot be told.
      type: bool
usage:
  description: What workloads take, by a metrics server. V(null) without one, which RV(skipped_sections) says.
  returned: always
  type: list
  elements: dict
  contains:
    name:
      description: Namespace and workload.
      type: str
    kind:
      description: The workload's kind.
      type: str
    namespace:
      description: Its namespace.
      type: str
    workload:
      description: Its name.
      type: str
    pods_count:
      description: Pods with figures.
      type: int
    cpu_cores:
      description: Processors that they take.
      type: float
    cpu_requested_cores:
      description: What they ask for.
      type: float
    cpu_request_percent:
      description: The one in percent of the other.
      type: float
    cpu_limit_percent:
      description: The container that is nearest to its limit, in percent of it. V(null) without limits.
      type: float
    memory_bytes:
      description: Memory that they take.
      type: int
    memory_requested_bytes:
      description: What they ask for.
      type: int
    memory_request_percent:
      description: The one in percent of the other.
      type: float
    memory_limit_percent:
      description: The container that is nearest to its limit, in percent of it. V(null) without limits.
      type: float
    memory_limit_container:
      description: That container.
      type: str
    has_memory_limit:
      description: Whether any container has a limit.
      type: bool
budgets:
  description: PodDisruptionBudgets.
  returned: always
  type: list
  elements: dict
  contains:
    name:
      description: Namespace and name.
      type: str
    namespace:
      description: Its namespace.
      type: str
    budget:
      description: Its name.
      type: str
    expected_count:
      description: Pods that it is for.
      type: int
    healthy_count:
      description: Those that are well.
      type: int
    desired_healthy_count:
      description: Those that have to be.
      type: int
    allowed_count:
      description: How many may be taken away.
      type: int
    is_blocking:
      description: Whether none may, so that no node with one of them can be drained.
      type: bool
snippets:
  description: Ingresses that put text of theirs into the controller's configuration. Of the section V(ingresses).
  returned: always
  type: list
  elements: dict
  contains:
    name:
      description: Namespace and name.
      type: str
    namespace:
      description: Its namespace.
      type: str
    ingress:
      description: Its name.
      type: str
    annotations:
      description: The annotations that do so.
      type: list
      elements: str
references:
  description: Secrets, ConfigMaps and keys that pods need and that are not there.
  returned: always
  type: list
  elements: dict
  contains:
    name:
      description: Namespace and workload.
      type: str
    namespace:
      description: Its namespace.
      type: str
    workload_kind:
      description: The workload's kind.
      type: str
    workload:
      description: Its name.
      type: str
    missing:
      description: What is missing, by name.
      type: str
    kind:
      description: V(Secret) or V(ConfigMap).
      type: str
    object:
      description: Its name.
      type: str
    key:
      description: The key. V(null) when all of it is missing.
      type: str
    where:
      description: What needs it, such as C(env DATABASE_URL of container app).
      type: str
volumes:
  description: Claims that pods mount, as full as the kubelets of their nodes say.
  returned: always
  type: list
  elements: dict
  contains:
    name:
      description: Namespace and name.
      type: str
    namespace:
      description: Its namespace.
      type: str
    claim:
      description: Its name.
      type: str
    node:
      description: The node that was asked.
      type: str
    capacity_bytes:
      description: The size of its file system. V(null) when the kubelet does not say, as all figures.
      type: int
    used_bytes:
      description: What is used.
      type: int
    available_bytes:
      description: What is left.
      type: int
    used_percent:
      description: The share that is used.
      type: float
    inodes_used_percent:
      description: The share of its inodes that is used.
      type: float
version:
  description: The version of the API server.
  returned: always
  type: str
  sample: v1.33.4
deprecated:
  description: Objects among those that were listed whose author uses a version of the API that is gone.
  returned: always
  type: list
  elements: dict
  contains:
    name:
      description: Namespace and name.
      type: str
    kind:
      description: Its kind.
      type: str
    namespace:
      description: Its namespace.
      type: str
    object:
      description: Its name.
      type: str
    api_version:
      description: The version.
      type: str
    author:
      description: The program that uses it.
      type: str
    replaced_by:
      description: What to use.
      type: str
    removed_in:
      description: The release that does without.
      type: str
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.runbook.ops.plugins.module_utils.common.errors import RunbookError
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.health.collect import SECTIONS, read_health
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.health.workloads import KINDS
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.options import kubernetes_argument_spec


def argument_spec() -> dict[str, dict[str, Any]]:
    workload = {
        "kind": {"type": "str", "choices": list(KINDS), "default": "deployment"},
        "name": {"type": "str", "required": True},
        "namespace": {"type": "str"},
        "exactly": {"type": "int"},
    }
    return {
        **kubernetes_argument_spec(),
        "namespaces": {"type": "list", "elements": "str", "default": []},
        "sections": {"type": "list", "elements": "str", "choices": list(SECTIONS), "default": []},
        "workloads": {"type": "list", "elements": "dict", "default": [], "options": workload},
        "restart_window": {"type": "int", "default": 3600},
        "starting_after": {"type": "int", "default": 300},
        "pending_after": {"type": "int", "default": 300},
        "not_ready_after": {"type": "int", "default": 180},
        "terminating_after": {"type": "int", "default": 60},
        "event_window": {"type": "int", "default": 3600},
        "max_pods": {"type": "int", "default": 20_000},
        "max_unhealthy": {"type": "int", "default": 200},
        "max_events": {"type": "int", "default": 5_000},
        "reference_time": {"type": "str"},
    }


def main() -> None:
    module = AnsibleModule(argument_spec=argument_spec(), supports_check_mode=True)
    try:
        result = read_health(module.params)
    except RunbookError as error:
        module.fail_json(msg=error.message, **error.details)
    module.exit_json(changed=False, **result)


if __name__ == "__main__":
    main()
