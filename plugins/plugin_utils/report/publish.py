# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From findings to files: everything is rendered first, then written, so that a failure leaves no half a report."""

from __future__ import annotations

import datetime as dt
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ansible_collections.runbook.ops.plugins.module_utils.common.clock import utc_now
from ansible_collections.runbook.ops.plugins.module_utils.common.errors import InvalidOption, RunbookError
from ansible_collections.runbook.ops.plugins.module_utils.common.timezones import timezone
from ansible_collections.runbook.ops.plugins.plugin_utils.changes import (
    Change,
    checked_changes,
    normalised,
    sorted_changes,
)
from ansible_collections.runbook.ops.plugins.plugin_utils.findings import (
    Finding,
    checked_findings,
    finding,
    sorted_findings,
    totals,
)
from ansible_collections.runbook.ops.plugins.plugin_utils.judging.humanise import plain_line
from ansible_collections.runbook.ops.plugins.plugin_utils.redact import redact, redact_text
from ansible_collections.runbook.ops.plugins.plugin_utils.rendering.changes import changes_markdown
from ansible_collections.runbook.ops.plugins.plugin_utils.rendering.junit import findings_junit
from ansible_collections.runbook.ops.plugins.plugin_utils.rendering.markdown import findings_markdown
from ansible_collections.runbook.ops.plugins.plugin_utils.rendering.texts import where_text
from ansible_collections.runbook.ops.plugins.plugin_utils.report import history
from ansible_collections.runbook.ops.plugins.plugin_utils.report.document import build_document
from ansible_collections.runbook.ops.plugins.plugin_utils.report.files import differs, read_text, write_atomically
from ansible_collections.runbook.ops.plugins.plugin_utils.report.html import render_html
from ansible_collections.runbook.ops.plugins.plugin_utils.report.queue_view import SOURCES, QueueView, queue_view
from ansible_collections.runbook.ops.plugins.plugin_utils.report.recovery_view import SOURCE as RECOVERY_SOURCE
from ansible_collections.runbook.ops.plugins.plugin_utils.report.recovery_view import Recovery, recovery_view
from ansible_collections.runbook.ops.plugins.plugin_utils.report.wording import (
    measured_moment,
    show_moment,
    with_inventories,
)

FILE_NAMES = {"html": "report.html", "json": "findings.json", "junit": "findings.xml", "markdown": "report.md"}
CHANGES_FILE = "changes.json"
# Three rounds a day make thirty points of each in a month.
_MOST_RUNS = 90
_MOST_HISTORY = 8_000_000
KEYS = tuple(finding("", "ok", ""))


@dataclass(frozen=True)
class Request:
    """What is to be reported, and where."""

    findings: Sequence[Mapping[str, Any]]
    facts: Mapping[str, Mapping[str, Any]]
    title: str
    system: str
    destination: Path | None
    formats: Sequence[str]
    history_directory: Path | None
    history_keep: int
    reference_time: str | None
    timezone: str
    secrets: Sequence[str]
    mode: int
    changes: Sequence[Mapping[str, Any]] = ()
    inventories: Sequence[str] = ()


@dataclass(frozen=True)
class Report:
    """A rendered report.

    C(texts) by name of format (and C(changes) and C(history)), C(paths) where each belongs.
    """

    findings: list[Finding]
    totals: dict[str, Any]
    moment: dt.datetime
    zone: dt.tzinfo
    texts: dict[str, str]
    paths: dict[str, Path]
    surplus: list[Path]
    problems: list[str]
    changes: list[Change] = field(default_factory=list)
    queues: QueueView | None = None
    recoveries: tuple[Recovery, ...] = ()


def prepare(request: Request) -> Report:
    """Render everything; nothing is written.

    Raises:
        InvalidOption: for findings or changes that are none, a moment without timezone, an unknown timezone.
    """
    zone = timezone(request.timezone)
    changed = sorted_changes(
        normalised(each, request.system)
        for each in _without_secrets(checked_changes(list(request.changes)), request.secrets)
    )
    findings = [
        _normalised(each, request.system, request.inventories)
        for each in sorted_findings(_without_secrets(checked_findings(list(request.findings)), request.secrets))
    ]
    moment = measured_moment(
        findings or [{"measured_at": each["at"]} for each in changed], request.reference_time, utc_now()
    )
    past: list[history.Run] = []
    problems: list[str] = []
    surplus: list[Path] = []
    texts: dict[str, str] = {}
    paths = _paths(request)
    if request.history_directory is not None:
        past, problems = history.read_runs(
            request.history_directory, before=moment, newest=_MOST_RUNS, most_bytes=_MOST_HISTORY
        )
        name = history.file_name(moment)
        texts["history"], paths["history"] = history.dump(findings), request.history_directory / name
        surplus = history.surplus(request.history_directory, request.history_keep, name)

    def clean(data: Any) -> Any:
        return redact(data, request.secrets)

    queues = queue_view(_chosen(request.facts, SOURCES, clean), request.inventories)
    recoveries = recovery_view(_chosen(request.facts, (RECOVERY_SOURCE,), clean))
    if "html" in request.formats:
        document = build_document(
            findings,
            request.facts,
            past,
            clean,
            title=request.title,
            moment=moment,
            zone=zone,
            notes=problems,
            changes=changed,
            queues=queues,
            recoveries=recoveries,
        )
        texts["html"] = render_html(document)
    if "json" in request.formats:
        texts["json"] = _json(findings)
        path = paths["json"].with_name(CHANGES_FILE)
        # A file of an earlier run would speak of what this run has not done.
        if changed or path.exists():
            texts["changes"], paths["changes"] = _json(changed), path
    if "junit" in request.formats:
        texts["junit"] = findings_junit(findings, request.title)
    if "markdown" in request.formats:
        shown = show_moment(moment, zone)
        heading = f"{request.title}, {shown.local} {shown.zone}".strip()
        pieces = (findings_markdown(findings, heading), changes_markdown(changed, zone))
        texts["markdown"] = "\n".join(piece for piece in pieces if piece)
    return Report(
        findings, totals(findings), moment, zone, texts, paths, surplus, problems, changed, queues, recoveries
    )


def _chosen(
    facts: Mapping[str, Mapping[str, Any]], wanted: Sequence[str], clean: Callable[[Any], Any]
) -> dict[str, dict[str, Any]]:
    """The facts of some sources, without secrets; the others can be huge."""
    return {
        host: {source: clean(measured) for source, measured in sources.items() if source in wanted}
        for host, sources in facts.items()
    }


def _json(entries: Sequence[Mapping[str, Any]]) -> str:
    return json.dumps(entries, ensure_ascii=False, indent=2, allow_nan=False, default=str) + "\n"


def _paths(request: Request) -> dict[str, Path]:
    if request.destination is None:
        if request.formats:
            raise InvalidOption("destination", "", "a directory for the files, or an empty list of formats")
        return {}
    return {form: request.destination / FILE_NAMES[form] for form in request.formats}


def _without_secrets(findings: Sequence[Finding], secrets: Sequence[str]) -> list[Finding]:
    """The findings with their texts redacted; hosts, units and remedies repeat, so each text is looked at once."""
    seen: dict[str, str] = {}

    def clean(value: Any) -> Any:
        if not isinstance(value, str):
            return redact(value, secrets) if isinstance(value, (Mapping, list, tuple)) else value
        if value not in seen:
            seen[value] = redact_text(value, secrets)
        return seen[value]

    return [{key: clean(value) for key, value in each.items()} for each in findings]


def _normalised(each: Mapping[str, Any], system: str, inventories: Sequence[str]) -> Finding:
    """Exactly the keys of the shape; a number that JSON cannot write is no value; commands as they can be run."""
    shaped = {key: _writable(each.get(key)) for key in KEYS}
    shaped["system"] = shaped["system"] or system
    shaped["remedy"] = with_inventories(str(shaped["remedy"] or ""), inventories)
    return shaped


def _writable(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): _writable(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_writable(item) for item in value]
    return value


def changes(report: Report, mode: int) -> list[str]:
    """The names of what would be written because it is not there yet or is different."""
    return [name for name, text in report.texts.items() if differs(report.paths[name], text, mode)]


def diffs(report: Report, names: Sequence[str]) -> list[dict[str, str]]:
    """Before and after of the files, as Ansible shows differences; of the page only the size."""
    shown = []
    for name in names:
        path, before = report.paths[name], read_text(report.paths[name])
        after = report.texts[name]
        if name == "html":
            before = None if before is None else _described(before)
            after = _described(after)
        shown.append({"before_header": str(path), "after_header": str(path), "before": before or "", "after": after})
    return shown


def _described(page: str) -> str:
    return f"(a page of {len(page):,} characters)\n"


def write(report: Report, names: Sequence[str], mode: int) -> None:
    """Write the named files and remove surplus history.

    Raises:
        RunbookError: when a file cannot be written.
    """
    for name in names:
        write_atomically(report.paths[name], report.texts[name], mode)
    for path in report.surplus:
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            raise RunbookError(f"Cannot remove the old history file {path}: {error.strerror}.") from None


def message(report: Report, title: str) -> str:
    """One sentence (or three) for the person on call: counts, the worst finding, where to read on.

    E.g. C(StoreBridge: 2 critical, 3 warning, 1 unknown. Worst: pg1: Table jobs is bloated. Report: /x.html.)
    """
    counts = report.totals
    said = [f"{counts[severity]:,} {severity}" for severity in ("critical", "warning", "unknown") if counts[severity]]
    if not said:
        said = [f"{counts['ok']:,} ok"] if counts["ok"] else ["nothing was checked"]
    text = f"{plain_line(title)}: {', '.join(said)}."
    if report.findings and report.findings[0]["severity"] != "ok":
        worst = report.findings[0]
        where = where_text(worst)
        summary = plain_line(str(worst["summary"] or worst["id"])).rstrip(".")
        text += f" Worst: {f'{where}: ' if where else ''}{summary}."
    shown = next((report.paths[name] for name in ("html", "markdown", "json", "junit") if name in report.paths), None)
    return f"{text} Report: {shown}." if shown else text
