# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Facts against rules."""

from __future__ import annotations

DOCUMENTATION = r"""
name: judge
short_description: Judge facts by rules
version_added: 0.1.0
author: The runbook.ops contributors (@runbook-ops)
description:
  - Holds the result of an C(_info) module, or a mapping of several results, against rules. The rules are data.
  - A value that is missing, null, not a number, infinite or of another type is V(unknown). Unknown is never V(ok).
  - The rules are checked first. All mistakes are reported in one error, each with the rule, the key, the value and
    what is accepted.
positional: rules
options:
  _input:
    description:
      - The facts. Undefined or null facts make everything unknown.
      - Their C(skipped_sections) give unknown findings the reason and the remedy, their C(measured_at) the moment.
    type: raw
    required: true
  rules:
    description:
      - The rules, in the order in which findings are wanted.
      - C(id) is C(domain.metric) and C(value) the dotted path of the value. Both are required. A number in a path picks
        an element of a list.
      - C(warning) and C(critical) are an operator (C(>), C(>=), C(<), C(<=), C(==), C(!=)) and a literal - a number,
        with a unit if it has one (C(> 80 %), C(> 80 GB), C(> 2s)), C(true) or C(false), or text. Warning must
        come before critical. A rule without either only reports its value.
      - C(unit) is one of C(percent), C(ratio), C(bytes), C(seconds), C(milliseconds), C(days), C(count),
        C(per_second), C(bool), C(text). Thresholds are converted to it; C(kB), C(MB), C(GB) are powers of 1000,
        C(KiB), C(MiB), C(GiB) powers of 1024.
      - C(each) is the dotted path of a list. Every item is judged by itself. C(*) in the path goes through all elements
        of an outer list. Paths are looked for in the item first, then in the facts. C(name) is the template of
        the object's name, C(limit) (20) the most findings that are not ok; the others are counted in one more finding.
        Items that are ok are counted in one ok finding if no item is bad.
      - C(where) is a condition such as C(size_bytes > 10 MB), or a list of conditions that must all hold.
      - C(summary) is a template with C({value}), C({object}), C({threshold}), C({any.path}) and C({any.path|bytes})
        (any unit, or C(duration)).
      - C(remedy) is text and has no placeholders, because it is copied to a shell and must hold nothing a server said.
      - C(priority) is C(P0) to C(P9), or a mapping with C(warning) and C(critical).
      - C(gate) stops the judging if this rule is not ok. One unknown finding C(<domain>.not_judged) stands for
        the rest.
      - C(description) says in words what the rule is about.
    type: list
    elements: dict
    required: true
  system:
    description: The system, for the findings.
    type: str
    default: ""
  host:
    description: The host, for the findings.
    type: str
    default: ""
  source:
    description: What measured the facts, for the findings.
    type: str
    default: ""
  overrides:
    description:
      - Changes to rules by their id. Every key of a rule can be changed but C(id); null takes a key away.
      - V(enabled=false) switches a rule off.
    type: dict
  measured_at:
    description: The moment of measurement. By default the C(measured_at) of the facts, else now.
    type: str
"""

EXAMPLES = r"""
- name: Judge what was measured
  ansible.builtin.set_fact:
    check_postgresql_findings: >-
      {{ check_postgresql_facts | runbook.ops.judge(rules, system='shop', host=inventory_hostname,
                                                    overrides={'postgresql.connections_used': {'critical': '> 95'}}) }}
  vars:
    rules:
      - id: postgresql.available
        value: available
        critical: "== false"
        unit: bool
        gate: true
        summary: "{reason}"
        priority: P0
      - id: postgresql.connections_used
        value: health.connections.used_percent
        warning: "> 80"
        critical: "> 90"
        unit: percent
        summary: "{value} of the connections are in use"
        priority: {warning: P2, critical: P1}
      - id: postgresql.dead_tuples
        each: health.tables
        where: size_bytes > 10 MB
        value: dead_percent
        name: "{schema}.{name}"
        warning: "> 20"
        unit: percent
        summary: "{object}: {value} of {size_bytes|bytes} is dead"
        remedy: ansible-playbook runbook.ops.maintain_monthly
"""

RETURN = r"""
_value:
  description: The findings.
  type: list
  elements: dict
  contains:
    id:
      description: The rule's id.
      type: str
      sample: postgresql.connections_used
    system:
      description: The system the host belongs to.
      type: str
    host:
      description: The inventory host.
      type: str
    object:
      description: The thing inside the host, such as a table, a queue or a bucket. Empty for the host itself.
      type: str
    severity:
      description: How bad it is. What could not be measured is V(unknown), never V(ok).
      type: str
      sample: warning
    value:
      description: The value that was judged, in RV(_value[].unit). Null when unknown.
      type: raw
    unit:
      description: The unit of the value. Null when it has none.
      type: str
    threshold:
      description: The threshold that was crossed, else the one for a warning, else the one for critical, else null.
      type: str
      sample: "> 80"
    summary:
      description: One sentence.
      type: str
    remedy:
      description: What to do about it.
      type: str
    priority:
      description: The priority. Null when the finding is ok.
      type: str
      sample: P2
    source:
      description: What measured it.
      type: str
    measured_at:
      description: When it was measured, ISO 8601 in UTC.
      type: str
    ladder:
      description: Both thresholds.
      type: dict
      contains:
        warning:
          description: The threshold for a warning, or null.
          type: str
        critical:
          description: The threshold for critical, or null.
          type: str
"""

from collections.abc import Callable
from typing import Any

from ansible.errors import AnsibleFilterError
from jinja2 import Undefined

from ansible_collections.runbook.ops.plugins.plugin_utils.filtering import filter_errors, sees_undefined
from ansible_collections.runbook.ops.plugins.plugin_utils.judging.judge import judge as judge_facts


# Undefined facts are findings (unknown), so this filter asks to see them; everything else must be defined.
@sees_undefined
@filter_errors
def judge(
    facts: Any,
    rules: Any,
    system: str = "",
    host: str = "",
    source: str = "",
    overrides: Any = None,
    measured_at: str | None = None,
) -> list[dict[str, Any]]:
    """Judge facts by rules; see DOCUMENTATION."""
    for name, value in {"system": system, "host": host, "source": source, "measured_at": measured_at}.items():
        if isinstance(value, Undefined):
            raise AnsibleFilterError(f"judge: {name} is undefined. Accepted: text.")
    return judge_facts(
        facts, rules, system=system, host=host, source=source, overrides=overrides, measured_at=measured_at
    )


class FilterModule:
    """The filter C(runbook.ops.judge)."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """The filter by its name."""
        return {"judge": judge}
