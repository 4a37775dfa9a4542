# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Changes from what a module returned, in the shape that all changing modules share. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ansible_collections.runbook.ops.plugins.module_utils.common.errors import InvalidOption
from ansible_collections.runbook.ops.plugins.plugin_utils.change_figures import figures_of
from ansible_collections.runbook.ops.plugins.plugin_utils.changes import Change, change, finite_number
from ansible_collections.runbook.ops.plugins.plugin_utils.changes_of_queues import (
    extent_of_queue,
    object_of_queue,
    sides_of_queue,
)
from ansible_collections.runbook.ops.plugins.plugin_utils.duration import format_duration
from ansible_collections.runbook.ops.plugins.plugin_utils.judging.paths import is_list

Entry = Mapping[str, Any]

# What modules say became of an action. What is not named here was done.
_OUTCOMES = {
    "failed": "failed",
    "error": "failed",
    "refused": "refused",
    "denied": "refused",
    "changed": "refused",
    "skipped": "refused",
    "ineffective": "ineffective",
    "no_effect": "ineffective",
    "survived": "ineffective",
    "planned": "planned",
}
# Nothing was left to do when its turn came.
_NOTHING_DONE = ("gone", "not_needed")
# Lists in which a module says more about its actions, by process id, policy or name.
_MORE = ("sessions", "rebuilt", "outcomes", "policies")
_GONE = "gone"
_MOMENTS = ("at", "finished_at", "ended_at")


@dataclass(frozen=True)
class Context:
    """What a result does not know about itself; C(planned) None means that it is to be taken from the result."""

    system: str = ""
    host: str = ""
    source: str = ""
    action: str = ""
    planned: bool | None = None
    at: str = ""

    def change(self, status: str, summary: str, *, action: str = "", at: str = "", **more: Any) -> Change:
        """A change in this context."""
        return change(
            status,
            summary,
            system=self.system,
            host=self.host,
            source=self.source,
            action=action.replace("_", " ") or self.action,
            at=at or self.at,
            **more,
        )


def changes_of(result: object, context: Context) -> list[Change]:
    """The changes that a module's result tells of, in the order in which they happened.

    The result is as registered: with C(actions) and C(refused), or with C(results), each such a result, after a loop.
    A result that failed gives one failed change with its message, besides what it carries: the actions that were
    carried out before it failed, and what it refused. A skipped one gives none.

    Raises:
        InvalidOption: for something that is no result.
    """
    if not isinstance(result, Mapping):
        raise InvalidOption("input", type(result).__name__, "the registered result of a module")
    if "actions" not in result and is_list(result.get("results")) and result["results"]:
        return [each for one in result["results"] for each in changes_of(one, context)]
    if result.get("skipped"):
        return []
    return list(_changes(result, context))


def _changes(result: Entry, context: Context) -> Iterator[Change]:
    failed = bool(result.get("failed") or result.get("unreachable"))
    planned = context.planned
    if planned is None:
        # The figures afterwards are null in check mode, because they cannot be known.
        planned = not failed and "after" in result and result["after"] is None
    refusals = [each for each in _list(result, "refused") if isinstance(each, Mapping)]
    # Where a refusal fails the task, its message only repeats what the refusal says.
    broke = failed and not _repeats_refusal(result, refusals)
    given = [
        {"statement": each} if isinstance(each, str) else each
        for each in _list(result, "actions")
        if isinstance(each, (Mapping, str))
    ]
    names = Counter(_name(each) for each in given)
    # What is said about several actions together cannot be told of one.
    entries = [_with_more(each, result) if names[_name(each)] == 1 else each for each in given]
    shown = entries
    if broke or (failed and not planned):
        shown = [each for each in entries if _was_carried_out(each, result)]
    found = [
        _of_action(each, context, planned)
        for each in shown
        if planned or _word(each.get("outcome")) not in _NOTHING_DONE
    ]
    yield from _with_refusals(found, refusals, context)
    if not failed:
        yield from _remaining(result, context)
    if broke:
        # Only where nothing was changed it is certain; otherwise the message says how far it came.
        yield _failure(result, context, nothing_done=bool(entries) and not planned and result.get("changed") is False)
    elif not (found or refusals or failed) and result.get("changed"):
        # It changed something and does not say what.
        yield _of_action({key: result[key] for key in result if result[key] is not None}, context, planned)


def _name(entry: Entry) -> tuple[str, str]:
    """By what the rest of a result speaks of an action."""
    return (_text(entry.get("policy")), "") if _text(entry.get("policy")) else ("", object_of(entry))


def _with_more(entry: Entry, result: Entry) -> Entry:
    """An action with all that the result says about it elsewhere."""
    name = _name(entry)
    more: dict[str, Any] = {}
    for key in _MORE:
        for other in _list(result, key):
            if isinstance(other, Mapping) and any(name) and _name(other) == name:
                more.update(other)
    before, after = (_about(result.get(side), name) for side in ("before", "after"))
    if isinstance(before, Mapping):
        more["before"] = before
        # Measured again, and expressly nothing: it is not there any more.
        more["after"] = dict.fromkeys(before, _GONE) if after is None else after
    more.update(sides_of_queue(entry, result))
    known = {key: value for key, value in entry.items() if value is not None}
    return {"database": result.get("database"), **entry, **more, **known}


def _about(figures: object, name: tuple[str, str]) -> Any:
    """What C(before) or C(after) says about an object or a policy; an empty mapping where it says nothing."""
    return figures.get(name[0] or name[1], {}) if isinstance(figures, Mapping) else {}


def _was_carried_out(entry: Entry, result: Entry) -> bool:
    """Whether an action of a result that failed was done, or is only the plan of which the failure kept it.

    It bears a trace of its own, or its object was measured again afterwards.
    """
    policy, name = _name(entry)
    after = result.get("after")
    if isinstance(after, Mapping) and (policy or name) in after:
        return True
    traces = ("duration_seconds", "seconds", "outcome", "effective", "error")
    return any(
        # Zero seconds are where something was to begin.
        value is not None and not (key == "seconds" and not value)
        for key, value in entry.items()
        if key in traces or (isinstance(key, str) and key.endswith("_after"))
    )


def _of_action(entry: Entry, context: Context, planned: bool) -> Change:
    status = _status(entry, planned)
    action = _text(entry.get("action"))
    reason, remedy = _why(entry, status)
    summary = _text(entry.get("statement")) or _joined(entry.get("statements")) or reason
    object_ = _session(entry) or object_of(entry)
    seconds = entry.get("duration_seconds", entry.get("seconds"))
    made = context.change(
        status,
        summary,
        action=action,
        object=object_,
        figures=figures_of(entry),
        duration_seconds=finite_number(seconds),
        reason=reason,
        remedy=remedy,
        at=next((moment for key in _MOMENTS if (moment := _text(entry.get(key)))), ""),
    )
    return {**made, "summary": summary or f"{made['action']} {object_}".strip()}


def _status(entry: Entry, planned: bool) -> str:
    said = _OUTCOMES.get(_word(entry.get("outcome")), "")
    if said == "failed" or entry.get("failed") is True or _text(entry.get("error")):
        return "failed"
    if said in ("refused", "planned"):
        return said
    if planned:
        return "planned"
    return "ineffective" if entry.get("effective") is False or said == "ineffective" else "done"


def _why(entry: Entry, status: str) -> tuple[str, str]:
    """The reason and the next step: why it is due, or why it failed, was left alone or did not help."""
    due = extent_of_queue(entry) or _text(entry.get("reason")) or _joined(entry.get("reasons")) or _extent(entry)
    remedy = _text(entry.get("remedy"))
    if status in ("done", "planned"):
        return due, remedy
    holder = entry.get("holder")
    kept = holder if isinstance(holder, Mapping) else {}
    held_by = " ".join(text for key in ("kind", "name") if (text := _text(kept.get(key))))
    parts = [
        _text(entry.get("error")) or _text(entry.get("detail")) or _joined(entry.get("without_effect")) or due,
        f"held back by {held_by}" if held_by else "",
    ]
    return "; ".join(part for part in parts if part), remedy or _text(kept.get("fix"))


def _extent(entry: Entry) -> str:
    """What an action that gives no reason is about, in the words of its facts.

    Of a session C(idle in transaction for 3h12m), of retention C(rows from before 2025-07-19, to archive.events).
    """
    state, age = _text(entry.get("state")), finite_number(entry.get("state_age_seconds"))
    if entry.get("pid") is not None and state:
        return f"{state} for {format_duration(int(age), parts=2)}" if age is not None else state
    cutoff, to = _text(entry.get("cutoff")), _text(entry.get("to"))
    if not cutoff:
        return ""
    return f"rows from before {cutoff}, to {to}" if to else f"rows from before {cutoff}"


def _with_refusals(found: list[Change], refusals: Sequence[Entry], context: Context) -> Iterator[Change]:
    """Actions and refusals, each object once: what an action came to nothing for is said by its refusal."""
    left = {_text(each.get("object")): each for each in refusals if _text(each.get("object"))}
    for made in found:
        if made["status"] in ("refused", "ineffective", "failed") and made["object"] in left:
            refusal = left.pop(made["object"])
            reason = _text(refusal.get("reason")) or made["reason"]
            summary = reason if made["status"] == "refused" else made["summary"]
            remedy = _text(refusal.get("remedy")) or made["remedy"]
            yield {**made, "summary": summary, "reason": reason, "remedy": remedy}
            continue
        yield made
    for each in refusals:
        object_ = _text(each.get("object"))
        if not object_ or left.get(object_) is each:
            yield _of_refusal(each, context)


def _of_refusal(entry: Entry, context: Context) -> Change:
    reason = _text(entry.get("reason")) or _joined(entry.get("reasons")) or "no reason given"
    return context.change(
        "refused",
        reason,
        action=_text(entry.get("action")),
        object=object_of(entry),
        figures=figures_of(entry),
        reason=reason,
        remedy=_text(entry.get("remedy")),
    )


def _remaining(result: Entry, context: Context) -> Iterator[Change]:
    """What was due and not begun, because the time was over: left alone, with the reason."""
    because = _text(result.get("remaining_because"))
    for each in _list(result, "remaining"):
        entry = {"object": each} if isinstance(each, str) else each
        if isinstance(entry, Mapping) and object_of(entry):
            reason = because or _text(entry.get("reason")) or "it was not begun"
            yield _of_refusal({**entry, "reason": reason}, context)


def _failure(result: Entry, context: Context, *, nothing_done: bool) -> Change:
    return context.change(
        "failed",
        _text(result.get("msg")) or _text(result.get("message")) or "failed without a message",
        object=object_of(result),
        figures=figures_of({key: result[key] for key in result if key not in ("before", "after")}),
        duration_seconds=finite_number(result.get("duration_seconds")),
        reason="None of the planned actions was carried out" if nothing_done else "",
        remedy=_text(result.get("remedy")),
    )


def _repeats_refusal(result: Entry, refusals: Sequence[Entry]) -> bool:
    if not refusals:
        return False
    first = refusals[0]
    return _text(result.get("msg")).startswith(f"{_text(first.get('object'))}: {_text(first.get('reason'))}")


def object_of(entry: Entry) -> str:
    """What an entry is about: C(public.jobs), C(public.jobs_pkey), C(pid 4711), or what it calls its object."""
    named = _text(entry.get("object"))
    if named:
        return named
    schema = _text(entry.get("schema"))
    for key in ("index", "table", "relation", "name"):
        name = _text(entry.get(key))
        if name:
            return f"{schema}.{name}" if schema and not name.startswith(f"{schema}.") else name
    pid = entry.get("pid")
    if isinstance(pid, int) and not isinstance(pid, bool):
        return f"pid {pid}"
    if object_of_queue(entry):
        return object_of_queue(entry)
    return next((name for key in ("schema", "key", "path", "database") if (name := _text(entry.get(key)))), "")


def _session(entry: Entry) -> str:
    """C(pid 7 (web, app@shop)), as refusals name a session; nothing where there is not enough known."""
    if (
        not isinstance(entry.get("pid"), int)
        or not _text(entry.get("user"))
        or object_of(entry) != f"pid {entry['pid']}"
    ):
        return ""
    application = _text(entry.get("application")) or "no application name"
    return f"pid {entry['pid']} ({application}, {entry['user']}@{entry.get('database') or '?'})"


def _list(result: Entry, key: str) -> Sequence[Any]:
    value = result.get(key)
    return value if value is not None and is_list(value) else ()


def _word(value: object) -> str:
    return _text(value).lower().replace(" ", "_")


def _text(value: object) -> str:
    return str(value).strip() if isinstance(value, str) else ""


def _joined(value: object) -> str:
    """A list of texts as one; a text as it is."""
    if isinstance(value, Sequence) and is_list(value):
        return "; ".join(text for each in value if (text := _text(each)))
    return _text(value)
