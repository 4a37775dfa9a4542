# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From the options of s3_undelete to its result: list, plan, guard, bring back, look again."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, NoReturn, Optional, Union

from ansible_collections.runbook.ops.plugins.module_utils.common.errors import InvalidOption, RunbookError
from ansible_collections.runbook.ops.plugins.module_utils.common.guards import check_guards, window_refusal
from ansible_collections.runbook.ops.plugins.module_utils.common.outcome import (
    Refusal,
    Refused,
    check_refusals,
    outcome,
)
from ansible_collections.runbook.ops.plugins.module_utils.common.progress import Progress, Stopped
from ansible_collections.runbook.ops.plugins.module_utils.object_store.client import Store, connect
from ansible_collections.runbook.ops.plugins.module_utils.object_store.errors import StoreError
from ansible_collections.runbook.ops.plugins.module_utils.object_store.undelete.history import History, Page, histories
from ansible_collections.runbook.ops.plugins.module_utils.object_store.undelete.plan import (
    COPY,
    VERSION,
    Decision,
    Due,
    Wish,
    decide,
    lines,
    wish_from,
)
from ansible_collections.runbook.ops.plugins.module_utils.object_store.undelete.versions import (
    copy_version,
    exact_history,
    latest,
    remove_marker,
)

_WORKERS = 8
# Between two batches the run can be interrupted.
_BATCH = 32
_MOST_SHOWN = 3


@dataclass
class Found:
    """What a listing gave: the objects that are due, those that cannot be brought back, and counts of all."""

    due: list[Due] = field(default_factory=list)
    refused: list[Refusal] = field(default_factory=list)
    objects: int = 0
    deleted: int = 0
    keys: set[str] = field(default_factory=set)

    def figures(self) -> dict[str, int]:
        """C(before) and C(after)."""
        return {"objects": self.objects, "deleted": self.deleted, "due": len(self.due)}


def undelete(params: Mapping[str, Any], *, check_mode: bool) -> dict[str, Any]:
    """The module's result.

    Raises:
        InvalidOption: before anything is touched.
        Refused: a guard said no, and nothing was touched; the plan travels along.
        StoreError: the store cannot be reached, or was lost on the way.
        Stopped: the run was interrupted; the result says what was done until then.

    """
    check_guards(params)
    for name in ("max_objects", "max_keys"):
        if params[name] < 1:
            raise InvalidOption(name, params[name], "1 or more")
    wish = wish_from(params)
    store = connect(params, connections=_WORKERS)
    progress = Progress(params["progress_path"])
    with progress.stoppable():
        result = _Run(params, wish, store, progress).run(check_mode=check_mode)
    check_refusals(result, params["on_refusal"])
    return result


@dataclass
class _Run:
    params: Mapping[str, Any]
    wish: Wish
    store: Store
    progress: Progress
    versioning: str = ""
    done: list[Due] = field(default_factory=list)
    refused: list[Refusal] = field(default_factory=list)
    is_changed: bool = False

    @property
    def bucket(self) -> str:
        return str(self.params["bucket"])

    @property
    def place(self) -> str:
        return f"{self.bucket}/{self.wish.prefix}"

    def run(self, *, check_mode: bool) -> dict[str, Any]:
        self.versioning = self.store.versioning(self.bucket)
        self._check_versioning()
        found = self._look()
        self._guard(found)
        self.refused = list(found.refused)
        if check_mode or not found.due:
            return self._result(found, None if check_mode else found, found.due, changed=bool(found.due))
        self._carry_out(found)
        return self._result(found, self._look(), self.done, changed=self.is_changed)

    def _check_versioning(self) -> None:
        if self.versioning == "disabled":
            raise Refused(
                f"Bucket {self.bucket} keeps no versions (versioning was never switched on): what was deleted or "
                "overwritten there is gone. Restore it from a backup, and switch versioning on.",
                changed=False,
            )
        if self.versioning != "enabled":
            # New objects and markers have no id of their own there, and take each other's place.
            raise Refused(
                f"Versioning of bucket {self.bucket} is {self.versioning}: what is written in the same moment could be "
                "lost for ever. Switch it on, which changes no object, and run this again.",
                changed=False,
            )

    def _look(self) -> Found:
        self.progress.phase("list", self.place, unit="keys")
        found = Found()
        for prefix in self.wish.prefixes:
            for history in histories(self._pages(prefix)):
                if self.wish.takes(history.key) and history.key not in found.keys:
                    self._take(found, history)
        for key in sorted(set(self.wish.markers) - found.keys):
            reason = "it has neither versions nor delete markers"
            found.refused.append(Refusal(key, reason, "Correct the key; it is case-sensitive."))
        return found

    def _pages(self, prefix: str) -> Iterator[Page]:
        seen, limit = 0, self.params["max_keys"]
        for versions, markers in self.store.version_pages(self.bucket, prefix):
            seen += len(versions) + len(markers)
            if seen > limit:
                raise Refused(
                    f"{self.place} has more than {limit} versions and delete markers (max_keys), so that nobody knows "
                    "all that is due; nothing was touched. Name a narrower prefix, or raise max_keys.",
                    changed=False,
                )
            self.progress.advance(len(versions) + len(markers))
            yield versions, markers

    def _take(self, found: Found, history: History) -> None:
        found.keys.add(history.key)
        is_deleted = bool(history.markers_on_top)
        found.deleted += is_deleted
        found.objects += not is_deleted
        if not history.is_certain and (is_deleted or self.wish.mode == VERSION):
            history = exact_history(self.store, self.bucket, history.key)
        decision: Decision = decide(history, self.wish)
        if isinstance(decision, Refusal):
            found.refused.append(decision)
        elif decision is not None and not self._was_copied(decision):
            found.due.append(decision)

    def _was_copied(self, due: Due) -> bool:
        """Whether the latest version is a copy of the wished one that its ETag does not show to be the same."""
        if due.action != COPY or due.current.is_marker or due.current.size_bytes != due.version.size_bytes:
            return False
        now = latest(self.store, self.bucket, due.key)
        return now is not None and now.copy_of == due.version.version_id

    def _guard(self, found: Found) -> None:
        """Refuse what must not be done, before anything is touched."""
        count, limit = len(found.due), self.params["max_objects"]
        plan = {"changed": False, "actions": [each.as_action() for each in found.due], "before": found.figures()}
        if count > limit:
            shown = ", ".join(due.key for due in found.due[:_MOST_SHOWN])
            raise Refused(
                f"{count} objects below {self.place} would be brought back, such as {shown}, and at most {limit} may "
                "be (max_objects); nothing was touched. Narrow prefix, pattern or deleted_since, or raise max_objects.",
                **plan,
            )
        refusal = window_refusal(self.params) if count else None
        if refusal is not None:
            raise Refused(f"{count} objects would be brought back, but {refusal[0]}. {refusal[1]}", **plan)

    def _carry_out(self, found: Found) -> None:
        self.progress.phase("bring back", self.place, total=len(found.due), unit="objects")
        with ThreadPoolExecutor(max_workers=_WORKERS) as pool:
            for start in range(0, len(found.due), _BATCH):
                batch = found.due[start : start + _BATCH]
                answers = list(pool.map(self._bring_back, batch))
                for due, answer in zip(batch, answers):
                    self._note(due, answer)
                lost = next((each for each in answers if isinstance(each, StoreError) and each.is_store_wide), None)
                if lost is not None:
                    self._end(found, lost)
                try:
                    self.progress.advance(len(batch))
                except Stopped as stop:
                    self._end(found, stop)

    def _bring_back(self, due: Due) -> Union[bool, Refusal, StoreError]:
        """Whether this run has brought the object back; why not, if it could not."""
        try:
            return self._copy(due) if due.action == COPY else self._remove(due)
        except StoreError as error:
            return error

    def _remove(self, due: Due) -> Union[bool, Refusal]:
        """Remove the markers from the top, each only if it is the latest entry and a delete marker at this moment."""
        removed = False
        for marker in due.markers:
            now = latest(self.store, self.bucket, due.key)
            if now is not None and not now.is_marker:
                # Somebody wrote it anew, or removed the marker: the object is there, and the markers hide nothing.
                return removed
            if now is None or now.version_id != marker.version_id:
                return _meanwhile(due, "its delete marker is not the latest any more")
            remove_marker(self.store, self.bucket, due.key, marker.version_id)
            self.is_changed = removed = True
        now = latest(self.store, self.bucket, due.key)
        if now is None or now.is_marker:
            return _meanwhile(due, "it was deleted again")
        return removed

    def _copy(self, due: Due) -> Union[bool, Refusal]:
        now = latest(self.store, self.bucket, due.key)
        if now is None or now.version_id != due.current.version_id:
            return _meanwhile(due, "it was written or deleted")
        copy_version(self.store, self.bucket, due.key, due.version.version_id)
        self.is_changed = True
        return True

    def _note(self, due: Due, answer: Union[bool, Refusal, StoreError]) -> None:
        if isinstance(answer, StoreError):
            reason, _dot, remedy = answer.message.partition(". ")
            self.refused.append(Refusal(due.key, reason.rstrip("."), remedy or "Correct that, and run this again."))
        elif isinstance(answer, Refusal):
            self.refused.append(answer)
        elif answer:
            self.done.append(due)

    def _end(self, found: Found, error: RunbookError) -> NoReturn:
        kind = Stopped if isinstance(error, Stopped) else RunbookError
        raise kind(
            f"{error.message.rstrip('.')}. {len(self.done)} of {len(found.due)} objects are back; none is half done. "
            "Run the task again to go on.",
            **self._result(found, None, self.done, changed=self.is_changed),
        )

    def _result(self, before: Found, after: Optional[Found], dues: list[Due], *, changed: bool) -> dict[str, Any]:
        return outcome(
            changed=changed,
            actions=[each.as_action() for each in dues],
            refused=self.refused,
            before=before.figures(),
            after=None if after is None else after.figures(),
            bucket=self.bucket,
            versioning=self.versioning,
            diff={"before": lines(dues, is_back=False), "after": lines(dues, is_back=True)},
        )


def _meanwhile(due: Due, what: str) -> Refusal:
    return Refusal(due.key, f"{what} since it was listed, and it was left alone", "Run this again if it is still due.")
