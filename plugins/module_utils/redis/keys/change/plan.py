# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The plan of redis_key: what is due, what is protected, and how it is shown. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Optional

from ansible_collections.runbook.ops.plugins.module_utils.common.outcome import Refusal, Refused, outcome
from ansible_collections.runbook.ops.plugins.module_utils.redis.keys.change.request import (
    ABSENT,
    KeyRequest,
    Pattern,
    literal_beginning,
)

# So many keys of a group are measured; the others are taken to be like them.
MEASURED_KEYS = 100
EXAMPLES = 5
EXAMPLE_LENGTH = 80
ACTIONS = {ABSENT: "unlink"}
_WORD = re.compile(rb"[A-Za-z_.-]{1,32}")


@dataclass(frozen=True)
class Key:
    """A key that matches, as it was found. C(ttl_milliseconds) as PTTL says it: -1 for none."""

    name: bytes
    kind: str
    ttl_milliseconds: int
    pattern: Pattern

    @cached_property
    def group(self) -> str:
        """What of its name may be shown."""
        return shown_group(self.name, self.pattern)


@dataclass
class Group:
    """Keys that are shown as one line."""

    pattern: str
    group: str
    count: int = 0
    measured: list[int] = field(default_factory=list)
    examples: list[str] = field(default_factory=list)

    @property
    def size(self) -> Optional[int]:
        """Bytes of all of them, from those that were measured."""
        return round(sum(self.measured) / len(self.measured) * self.count) if self.measured else None


@dataclass
class Plan:
    """Everything that was found for a request."""

    due: list[Key] = field(default_factory=list)
    due_count: int = 0
    matching: int = 0
    without_ttl: int = 0
    # By pattern: names that match it, and those of them that are protected.
    names: dict[Pattern, int] = field(default_factory=dict)
    protected: dict[tuple[str, str, str], int] = field(default_factory=dict)
    protected_names: dict[Pattern, int] = field(default_factory=dict)
    unreadable: dict[str, int] = field(default_factory=dict)
    complete: bool = True
    incomplete_reason: str = ""
    keys_seen: int = 0

    def protect(self, key: Key, reason: str) -> None:
        """Note a key that matches and is left alone."""
        entry = (key.pattern.label, key.group, reason)
        self.protected[entry] = self.protected.get(entry, 0) + 1
        self.protected_names[key.pattern] = self.protected_names.get(key.pattern, 0) + 1

    def take(self, key: Key, request: KeyRequest) -> None:
        """Note a key that matches and is nobody's job."""
        self.matching += 1
        self.without_ttl += key.ttl_milliseconds == -1
        if not is_due(key, request):
            return
        self.due_count += 1
        # More than may be touched are counted and not kept.
        if len(self.due) < (request.limit or request.max_affected):
            self.due.append(key)

    def figures(self) -> dict[str, Any]:
        """C(before) and C(after). A part of the keys is no figure."""
        return {
            "matching": self.matching if self.complete else None,
            "without_ttl": self.without_ttl if self.complete else None,
            "due": self.due_count if self.complete else None,
        }

    def protected_facts(self) -> list[dict[str, Any]]:
        """The C(protected) of the result."""
        return [
            {"pattern": pattern, "group": group, "count": count, "reason": reason}
            for (pattern, group, reason), count in sorted(self.protected.items())
        ]


def is_due(key: Key, request: KeyRequest) -> bool:
    """Whether something is to be done to a key that matches."""
    return request.state == ABSENT or key.ttl_milliseconds == -1


def shown_group(name: bytes, pattern: Pattern) -> str:
    """The part of a name that may be shown: names can be secrets, such as the tokens of sessions.

    An exact name is in the task anyway. Of others it is what stands before the first colon, if that is a word without
    digits and the pattern begins with a part of it: under C(*:cart) or C(s*) it could be the secret itself.
    """
    if pattern.exact:
        return pattern.label
    first, colon, _after = name.partition(b":")
    spelled = literal_beginning(pattern.text).startswith(first + colon)
    is_word = pattern.text[:1] not in (b"*", b"?", b"[") and _WORD.fullmatch(first)
    return (first + colon).decode("utf-8", "backslashreplace") if colon and (spelled or is_word) else pattern.label


def groups_of(keys: Sequence[Key], sizes: Mapping[bytes, int], *, show_names: bool) -> list[Group]:
    """The keys by pattern and group, in the order in which they are first met."""
    found: dict[tuple[str, str], Group] = {}
    for key in keys:
        place = (key.pattern.label, key.group)
        group = found.setdefault(place, Group(*place))
        group.count += 1
        if key.name in sizes:
            group.measured.append(sizes[key.name])
        if show_names and len(group.examples) < EXAMPLES:
            group.examples.append(shorten(key.name))
    return list(found.values())


def shorten(name: bytes, length: int = EXAMPLE_LENGTH) -> str:
    """A name as text of bounded length."""
    text = name[: 4 * length].decode("utf-8", "backslashreplace")
    return text if len(text) <= length and len(name) <= 4 * length else text[: length - 1] + "…"


def to_measure(keys: Sequence[Key]) -> list[bytes]:
    """The names to measure: the first ones of every group, so that a second look measures the same."""
    taken: dict[tuple[str, str], int] = {}
    names = []
    for key in keys:
        place = (key.pattern.label, key.group)
        taken[place] = taken.get(place, 0) + 1
        if taken[place] <= MEASURED_KEYS:
            names.append(key.name)
    return names


def check_plan(plan: Plan, request: KeyRequest, result: Mapping[str, Any]) -> None:
    """Raise Refused, with the result so far, for a plan that must not be carried out."""
    blocked = [pattern for pattern in request.all_patterns if _is_all_protected(plan, pattern)]
    if blocked:
        reasons = sorted({entry[2] for entry in plan.protected if entry[0] == blocked[0].label})
        what = "key" if blocked[0].exact else "pattern"
        raise Refused(
            f"Everything that the {what} {blocked[0].label!r} means is protected, and nothing was touched: "
            f"{'; '.join(reasons)}. Jobs are removed with runbook.ops.redis_queue, which takes what belongs to them.",
            **{**result, "changed": False},
        )
    if not plan.complete and request.limit is None:
        raise Refused(
            f"Not all keys could be looked at, and nothing was touched: {plan.incomplete_reason}. Raise max_keys or "
            "max_seconds, or set limit to work on a part at a time.",
            **{**result, "changed": False},
        )
    if request.limit is None and plan.due_count > request.max_affected:
        doing = "be deleted" if request.state == ABSENT else "be given a time to live"
        raise Refused(
            f"{plan.due_count} keys would {doing}, and max_affected is {request.max_affected}: nothing was touched. If "
            "that many are meant, raise max_affected, or set limit to work on some at a time.",
            **{**result, "changed": False},
        )


def _is_all_protected(plan: Plan, pattern: Pattern) -> bool:
    count = plan.protected_names.get(pattern, 0)
    return count > 0 and count == plan.names.get(pattern, 0)


def planned(plan: Plan, request: KeyRequest, sizes: Mapping[bytes, int], user: str) -> dict[str, Any]:
    """The result as far as it is known without touching anything, which is that of check mode."""
    action = ACTIONS.get(request.state, "expire")
    groups = groups_of(plan.due, sizes, show_names=request.show_names)
    known = [group.size for group in groups if group.size is not None]
    refused = [
        Refusal(
            pattern,
            f"the ACL keeps user {user} from {count} keys that match",
            f"Grant it: ACL SETUSER {user} ~{pattern}",
        )
        for pattern, count in sorted(plan.unreadable.items())
    ]
    return outcome(
        changed=bool(plan.due),
        actions=[
            {
                "action": action,
                "pattern": group.pattern,
                "group": group.group,
                "count": group.count,
                "bytes": group.size,
                "bytes_exact": len(group.measured) == group.count,
                "examples": group.examples,
            }
            for group in groups
        ],
        refused=refused,
        before=plan.figures(),
        after=None,
        protected=plan.protected_facts(),
        freed_bytes=(sum(known) if len(known) == len(groups) else None) if request.state == ABSENT else 0,
        outcomes={"done": 0, "gone": 0, "changed": 0},
        complete=plan.complete,
        keys_seen=plan.keys_seen,
        diff={"before": lines(groups, 0), "after": lines(groups, None if request.state == ABSENT else request.ttl)},
    )


def lines(groups: Sequence[Group], ttl: Optional[int]) -> str:
    """The groups for a diff, one a line; C(ttl) is 0 for none, None for keys that are gone."""
    if ttl is None:
        return ""
    live = f"live for {ttl} s or a little longer" if ttl else "there"
    return "".join(f"{group.group} ({group.count} keys of {group.pattern}): {live}\n" for group in groups)
