"""What was changed: the same words in the terminal, on the page, in Markdown and in JSON; bounded, escaped, honest."""

from __future__ import annotations

import datetime as dt
import json
import re
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from ansible_collections.runbook.ops.plugins.module_utils.common.errors import InvalidOption
from ansible_collections.runbook.ops.plugins.plugin_utils.changes import sorted_changes
from ansible_collections.runbook.ops.plugins.plugin_utils.rendering.changes import changes_markdown, sides
from ansible_collections.runbook.ops.plugins.plugin_utils.rendering.widths import width
from ansible_collections.runbook.ops.plugins.plugin_utils.report.changed import show_changes
from ansible_collections.runbook.ops.plugins.plugin_utils.report.publish import (
    FILE_NAMES,
    Request,
    changes,
    diffs,
    message,
    prepare,
    write,
)
from ansible_collections.runbook.ops.plugins.plugin_utils.report.terminal import terminal_lines

Make = Callable[..., dict[str, Any]]
MOMENT = dt.datetime(2025, 10, 17, 0, 0, 4, tzinfo=dt.timezone.utc)
SEOUL = ZoneInfo("Asia/Seoul")


def plain(text: str, _colour: str) -> str:
    return text


def lines(
    told: list[dict[str, Any]],
    columns: int = 100,
    paint: Callable[[str, str], str] = plain,
    findings: list[dict[str, Any]] | None = None,
    **paths: str,
) -> list[str]:
    return terminal_lines(
        findings or [],
        title="StoreBridge",
        moment="Fri 17 Oct 2025, 09:00 KST",
        paths=paths,
        columns=columns,
        paint=paint,
        changes=sorted_changes(told),
        zone=SEOUL,
    )


def figure(before: Any, after: Any, unit: str = "count", name: str = "rows") -> dict[str, Any]:
    return {"name": name, "before": before, "after": after, "unit": unit}


# --- words
@pytest.mark.parametrize(
    ("given", "status", "shown"),
    [
        (figure(1204331, 0), "done", ("1,204,331", "0")),
        (figure(3412000000, None, "bytes"), "done", ("3.41 GB", "unknown")),
        (figure(None, 5), "done", ("unknown", "5")),
        (figure(None, None), "ineffective", ("unknown", "unknown")),
        (figure(12, None), "planned", ("12", "")),
        (figure(None, None), "planned", ("unknown", "")),
        (figure(12, None), "refused", ("12", "")),
        (figure(12, 3), "planned", ("12", "3")),
        (figure(88000000, "gone", "bytes"), "done", ("88 MB", "gone")),
        (figure(71.4, 1.2, "percent"), "done", ("71.4 %", "1.2 %")),
        (figure(5400, 60, "seconds"), "done", ("1h30m", "1m")),
        (figure(False, True, "text"), "done", ("no", "yes")),
        (
            figure("2025-09-29T18:02:11.203Z", "2025-10-17T00:03:51Z", "text"),
            "done",
            ("2025-09-30 03:02", "2025-10-17 09:03"),
        ),
        (
            figure("2025-10-17T00:03:11Z", "2025-10-17T00:03:51Z", "text"),
            "done",
            ("2025-10-17 09:03:11", "2025-10-17 09:03:51"),
        ),
        (figure("2025-10-17T00:03:11Z", None, "text"), "done", ("2025-10-17 09:03", "unknown")),
        (figure("2025-10-17", "on", "text"), "done", ("2025-10-17", "on")),
    ],
)
def test_the_two_sides_of_a_figure(given: dict[str, Any], status: str, shown: tuple[str, str]) -> None:
    assert sides(given, status, SEOUL) == shown


@pytest.mark.parametrize(
    ("before", "after", "unit", "moved", "bars"),
    [
        (1204331, 0, "count", "−100 %", (100.0, 0.0)),
        (1841, 512, "bytes", "−72 %", (100.0, 27.8)),
        (1000, 996, "bytes", "−0.4 %", (100.0, 99.6)),
        (100000, 99999, "count", "−<0.1 %", (100.0, 100.0)),
        (10000, 3, "count", "−99.9 %", (100.0, 0.0)),
        (50, 75, "count", "+50 %", (66.7, 100.0)),
        (5, 5, "count", "unchanged", (100.0, 100.0)),
        (1, 500, "count", "", (0.2, 100.0)),
        (71.4, 1.2, "percent", "", (100.0, 1.7)),
        (0, 5, "count", "", (0.0, 100.0)),
        (0, 0, "count", "", None),
        (-1, 4, "count", "", None),
        (7, None, "count", "", None),
        (7, "gone", "bytes", "", None),
    ],
)
def test_how_far_it_moved(make_change: Make, before: Any, after: Any, unit: str, moved: str, bars: Any) -> None:
    section = show_changes([make_change(figures=[figure(before, after, unit)])], MOMENT, SEOUL)
    assert section is not None
    (line,) = section.rows[0].figures
    assert (line.moved, line.bars) == (moved, bars)


# --- terminal
def test_a_whole_table_of_changes(make_change: Make) -> None:
    told = [
        make_change(
            figures=[figure(1204331, 0, name="dead rows"), figure(3412000000, 3398000000, "bytes", "total size")]
        ),
        make_change(
            status="refused",
            object="public.held",
            figures=[],
            duration_seconds=None,
            summary="its lock was not free",
            reason="its lock was not free",
            remedy="Look: ansible-playbook x",
        ),
        make_change(
            status="failed",
            object="",
            action="archive",
            figures=[],
            duration_seconds=None,
            summary="The disk is full.",
            reason="1 of 3 actions were carried out",
        ),
        make_change(status="ineffective", figures=[figure(5, 5)], reason="held back by session pid 7"),
        make_change(object="public.a_table_with_a_name_that_takes_more_room_than_there_is", figures=[figure(5, 0)]),
    ]
    assert lines(told, columns=80, html="/srv/report.html") == [
        "",
        "StoreBridge, Fri 17 Oct 2025, 09:00 KST",
        "No findings: nothing was checked.",
        "",
        "CHANGED      WHAT                             BEFORE → AFTER               TOOK",
        "-" * 80,
        "FAILED       archive",
        "             storebridge-postgres",
        "             The disk is full. 1 of 3 actions were carried out",
        "REFUSED      vacuum public.held",
        "             storebridge-postgres",
        "             its lock was not free",
        "             Look:",
        "             ansible-playbook x",
        "INEFFECTIVE  vacuum public.jobs               rows 5 → 5                   4m12s",
        "             storebridge-postgres",
        "             held back by session pid 7",
        "DONE         vacuum public.jobs               dead rows 1,204,331 → 0      4m12s",
        "             storebridge-postgres             total size 3.41 GB → 3.4 GB",
        "DONE         vacuum",
        "             public.a_table_with_a_name_that_takes_more_room_than_there_is",
        "             storebridge-postgres             rows 5 → 0                   4m12s",
        "-" * 80,
        "1 failed, 1 refused, 1 ineffective, 2 done",
        "",
        "html  /srv/report.html",
        "",
    ]


def test_in_check_mode_the_table_says_planned(make_change: Make) -> None:
    shown = lines([make_change(status="planned", figures=[figure(7, None)], duration_seconds=None)])
    assert shown[4].startswith("PLANNED      WHAT")
    assert shown[6].split() == ["PLANNED", "vacuum", "public.jobs", "rows", "7"]
    assert "1 planned" in shown


def test_no_changes_no_table(make_finding: Make) -> None:
    assert lines([], findings=[make_finding()]) == terminal_lines(
        [make_finding()],
        title="StoreBridge",
        moment="Fri 17 Oct 2025, 09:00 KST",
        paths={},
        columns=100,
        paint=plain,
    )


@pytest.mark.parametrize("columns", [60, 80, 100, 120])
def test_the_sample_s_changes_fit(sample_changes: list[dict[str, Any]], columns: int) -> None:
    for line in lines(sample_changes, columns):
        # A command's own words are never torn apart.
        assert width(line) <= columns or "--" in line or "ansible-playbook" in line, line
        assert line == line.rstrip()


@pytest.mark.parametrize("columns", [80, 100, 120])
def test_names_are_never_torn_apart(sample_changes: list[dict[str, Any]], columns: int) -> None:
    text = "\n".join(lines(sample_changes, columns))
    for each in sample_changes:
        assert each["object"] in text


def test_colours_frame_status_command_and_counts(make_change: Make) -> None:
    seen: list[tuple[str, str]] = []

    def paint(text: str, colour: str) -> str:
        seen.append((text, colour))
        return text

    told = [make_change(status=status, remedy="psql -c x") for status in ("failed", "refused", "done", "planned")]
    lines(told, paint=paint)
    assert seen == [
        ("FAILED", "bright red"),
        ("psql -c x", "cyan"),
        ("REFUSED", "yellow"),
        ("psql -c x", "cyan"),
        ("DONE", "green"),
        ("PLANNED", "cyan"),
        ("1 failed", "bright red"),
        ("1 refused", "yellow"),
        ("1 done", "green"),
        ("1 planned", "cyan"),
    ]


def test_thousands_of_changes_are_counted_not_printed(make_change: Make) -> None:
    told = [make_change(status=("done", "planned")[n % 2], object=f"t{n}") for n in range(5000)]
    told += [make_change(status="refused")]
    shown = lines(told)
    assert len(shown) < 140
    assert "and 2,461 done, 2,500 planned more, which only the files list" in shown
    assert "1 refused, 2,500 done, 2,500 planned" in shown


EVIL_LINE = "\x1b]0;title\x07\x1b[2Jgone\r\nnext"


def test_terminal_escapes_in_changes_do_not_reach_the_terminal(make_change: Make) -> None:
    for status in ("failed", "refused", "ineffective", "done", "planned"):
        evil = make_change(
            **dict.fromkeys(("host", "object", "action", "summary", "reason", "remedy", "source"), EVIL_LINE),
            status=status,
            figures=[figure(EVIL_LINE, EVIL_LINE + "2", EVIL_LINE, EVIL_LINE)],
        )
        text = "\n".join(lines([evil]))
        assert not {"\x1b", "\r", "\x07"} & set(text)


# --- page
VOID = {"meta", "input"}


class Page(HTMLParser):
    """Checks that every element is closed in order and remembers what is on the page."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if not {"style", "script"} & set(self.open):
            self.text.append(data)

    @property
    def words(self) -> str:
        return " ".join(" ".join(self.text).split())

    @property
    def statuses(self) -> list[str]:
        return [str(attributes["data-status"]) for _tag, attributes in self.tags if "data-status" in attributes]


@pytest.fixture
def request_for(tmp_path: Path) -> Callable[..., Request]:
    def make(told: list[dict[str, Any]], **different: Any) -> Request:
        request = Request(
            findings=[],
            facts={},
            title="StoreBridge maintenance",
            system="storebridge",
            destination=tmp_path / "report",
            formats=list(FILE_NAMES),
            history_directory=None,
            history_keep=400,
            reference_time=None,
            timezone="Asia/Seoul",
            secrets=[],
            mode=0o640,
            changes=told,
        )
        return replace(request, **different)

    return make


def test_the_page_tells_the_sample(
    sample_changes: list[dict[str, Any]],
    sample_findings: list[dict[str, Any]],
    request_for: Callable[..., Request],
) -> None:
    text = prepare(request_for(sample_changes, findings=sample_findings)).texts["html"]
    page = Page(text)
    assert page.statuses == ["failed"] + ["refused"] * 2 + ["ineffective"] + ["done"] * 5
    assert "Changed 1 failed 2 refused 1 no effect 5 done" in page.words
    assert "size 1.84 GB → then 512 MB −72 %" in page.words
    assert "storebridge-postgres, 09:14" in page.words
    assert 'REINDEX INDEX CONCURRENTLY "public"."jobs_status_created_at_idx"' in page.words
    commands = [attributes["data-command"] for _tag, attributes in page.tags if "data-command" in attributes]
    assert "ansible-playbook runbook.ops.clean_up --limit storebridge-db-1" in commands
    # Between what the run found in short and the findings one by one.
    assert text.index('class="tiles"') < text.index('id="changes"') < text.index('<main id="findings">')
    ids = [attributes["id"] for _tag, attributes in page.tags if "id" in attributes]
    assert len(ids) == len(set(ids))


def test_the_page_without_changes_has_no_such_section(make_finding: Make, request_for: Callable[..., Request]) -> None:
    text = prepare(request_for([], findings=[make_finding()])).texts["html"]
    assert 'id="changes"' not in text


def test_the_page_in_check_mode(make_change: Make, request_for: Callable[..., Request]) -> None:
    told = [make_change(status="planned", figures=[figure(7, None)]), make_change(status="refused", at="")]
    words = Page(prepare(request_for(told)).texts["html"]).words
    assert "Planned 1 refused 1 planned Check mode: nothing has been changed." in words
    assert "rows 7" in words
    assert "rows 7 →" not in words


def test_many_changes_fold_and_are_counted(make_change: Make, request_for: Callable[..., Request]) -> None:
    told = [make_change(object=f"public.t{n}") for n in range(1000)] + [make_change(status="failed")]
    page = Page(prepare(request_for(told)).texts["html"])
    assert len(page.statuses) == 300
    assert page.statuses[0] == "failed"
    assert "292 more" in page.words
    assert "701 more are not listed here; every one of them is in changes.json." in page.words
    # No fold for the sake of two rows.
    assert " more" not in Page(prepare(request_for(told[:10])).texts["html"]).words.split("This page", maxsplit=1)[0]


EVIL = "</script></style></pre>\"'><script>alert(1)</script><img src=x onerror=alert(1)>"


@pytest.mark.parametrize("status", ["failed", "refused", "ineffective", "done", "planned"])
def test_nothing_in_a_change_can_become_markup(
    make_change: Make, request_for: Callable[..., Request], status: str
) -> None:
    keys = ("system", "host", "source", "action", "object", "summary", "reason", "remedy", "at")
    told = [make_change(**{key: f"{key} {EVIL}"}, status=status) for key in keys]
    told += [make_change(status=status, figures=[figure(EVIL, EVIL + "2", EVIL, EVIL)])]
    told += [make_change(status=status, remedy=f"`{EVIL}` ansible-playbook {EVIL}")]
    report = prepare(request_for(told))
    tags = Page(report.texts["html"]).tags
    assert [tag for tag, _attributes in tags].count("script") == 1
    assert "img" not in {tag for tag, _attributes in tags}
    assert not any(name.startswith("on") for _tag, attributes in tags for name in attributes)


# --- Markdown
def test_markdown(make_change: Make) -> None:
    told = [
        make_change(figures=[figure(12, 0), figure(9, 4, "bytes", "size")]),
        make_change(
            status="refused", object="a|b", figures=[], duration_seconds=None, summary="in vain", reason="in vain",
            remedy="psql -c '|'",
        ),
    ]  # fmt: skip
    assert changes_markdown(told, SEOUL).splitlines() == [
        "## Changed",
        "",
        "1 refused, 1 done.",
        "",
        "| Status | What | Object | Before → after | Took | Why, and the next step |",
        "| --- | --- | --- | --- | --- | --- |",
        "| **refused** | vacuum | **storebridge-postgres a\\|b** |  |  | in vain `psql -c '\\|'` |",
        "| done | vacuum | **storebridge-postgres public.jobs** | rows 12 → 0<br>size 9 B → 4 B | 4m12s |"
        " dead rows 1204331 \\> threshold 250050 |",
    ]
    assert changes_markdown([], SEOUL) == ""


def test_hostile_names_stay_in_their_cell_of_the_markdown(make_change: Make) -> None:
    evil = "a | b\n| c <script> [x](javascript:1)"
    told = [make_change(object=evil, action=evil, reason=evil, summary=evil, remedy=evil, status="failed",
                        figures=[figure(evil, "x", "text", evil)])]  # fmt: skip
    *_head, row = changes_markdown(told, SEOUL).splitlines()
    assert len(re.findall(r"(?<!\\)\|", row)) == 7
    # What stands in backticks is code already.
    assert not re.search(r"(?<!\\)[<\[]", re.sub(r"`[^`]*`|<br>", "", row))


# --- files
def publish(request: Request) -> list[str]:
    report = prepare(request)
    names = changes(report, request.mode)
    write(report, names, request.mode)
    return names


def test_the_changes_are_a_file_of_their_own(
    sample_changes: list[dict[str, Any]], request_for: Callable[..., Request], tmp_path: Path
) -> None:
    request = request_for(sample_changes, reference_time="2025-10-17T00:00:04Z")
    assert sorted(publish(request)) == ["changes", "html", "json", "junit", "markdown"]
    written = json.loads((tmp_path / "report" / "changes.json").read_text(encoding="utf-8"))
    assert sorted(map(json.dumps, written)) == sorted(map(json.dumps, sample_changes))
    assert written[0]["status"] == "failed"
    assert publish(request) == []


def test_a_report_without_changes_writes_no_such_file(request_for: Callable[..., Request], tmp_path: Path) -> None:
    publish(request_for([]))
    assert not (tmp_path / "report" / "changes.json").exists()


def test_yesterday_s_changes_are_not_today_s(
    make_change: Make, request_for: Callable[..., Request], tmp_path: Path
) -> None:
    publish(request_for([make_change()]))
    assert "changes" in publish(request_for([]))
    path = tmp_path / "report" / "changes.json"
    assert json.loads(path.read_text(encoding="utf-8")) == []
    assert "changes" not in publish(request_for([]))
    # Where no JSON is asked for, none is touched.
    path.write_text("mine", encoding="utf-8")
    publish(request_for([make_change()], formats=["html"]))
    assert path.read_text(encoding="utf-8") == "mine"


def test_diffs_show_the_changes(make_change: Make, request_for: Callable[..., Request]) -> None:
    report = prepare(request_for([make_change()]))
    (shown,) = diffs(report, ["changes"])
    assert shown["after_header"].endswith("/report/changes.json")
    assert '"public.jobs"' in shown["after"]


def test_findings_totals_message_and_junit_know_nothing_of_changes(
    sample_findings: list[dict[str, Any]],
    sample_changes: list[dict[str, Any]],
    request_for: Callable[..., Request],
) -> None:
    without, with_changes = (
        prepare(request_for(told, findings=sample_findings)) for told in ([], sample_changes)
    )  # fmt: skip
    assert with_changes.totals == without.totals
    assert with_changes.texts["junit"] == without.texts["junit"]
    assert with_changes.texts["json"] == without.texts["json"]
    assert message(with_changes, "x") == message(without, "x")
    assert with_changes.moment == without.moment


def test_without_findings_the_moment_is_that_of_the_changes(
    make_change: Make, request_for: Callable[..., Request]
) -> None:
    told = [make_change(), make_change(at="2025-10-17T00:46:10Z"), make_change(at="rubbish")]
    assert prepare(request_for(told)).moment.isoformat() == "2025-10-17T00:46:10+00:00"


def test_what_is_odd_about_a_change_is_put_right(request_for: Callable[..., Request]) -> None:
    odd = {
        "status": "done",
        "object": 7,
        "host": None,
        "extra": "x",
        "duration_seconds": float("nan"),
        "figures": [{"name": "n", "before": float("inf"), "after": ["a"]}, "text"],
    }
    (found,) = json.loads(prepare(request_for([odd])).texts["changes"])
    assert found == {
        "system": "storebridge",
        "host": "",
        "source": "",
        "action": "",
        "object": "7",
        "status": "done",
        "summary": "",
        "figures": [{"name": "n", "before": None, "after": "['a']", "unit": "text"}],
        "duration_seconds": None,
        "reason": "",
        "remedy": "",
        "at": "",
    }


@pytest.mark.parametrize(
    ("told", "said"),
    [
        ([5], "changes[0]: 'int' is not accepted."),
        ([{"status": "finished", "object": "x"}], "changes[0]: \"a mapping with status 'finished'\" is not accepted."),
        ([{"status": "done"}], "changes[0]: \"a mapping with status 'done'\" is not accepted."),
        ([{"status": ["done"], "object": "x"}], "changes[0]: \"a mapping with status ['done']\" is not accepted."),
    ],
)
def test_what_is_no_change_is_one_sentence(request_for: Callable[..., Request], told: list[Any], said: str) -> None:
    with pytest.raises(InvalidOption) as caught:
        prepare(request_for(told))
    assert caught.value.message == f"{said} Accepted: a list of changes, as the changes filter returns them."


SECRET = "p@ss:w/rd%ä"


def test_no_secret_of_a_change_in_any_file(
    make_change: Make, request_for: Callable[..., Request], tmp_path: Path
) -> None:
    leak = f"ALTER ROLE app PASSWORD '{SECRET}' postgresql://app:{SECRET}@db/x"
    keys = ("object", "host", "action", "source", "summary", "reason", "remedy", "at", "system")
    told = [
        make_change(**{key: leak}, status=status, figures=[figure(leak, f"{leak}2", "text", leak)])
        for key in keys
        for status in ("failed", "refused", "ineffective", "done", "planned")
    ]
    told += [make_change(summary="ALTER ROLE app LOGIN; -- password=hunter2hunter2")]
    publish(request_for(told, secrets=[SECRET]))
    report = prepare(request_for(told, secrets=[SECRET]))
    texts = {path.name: path.read_text(encoding="utf-8") for path in (tmp_path / "report").iterdir()}
    assert set(texts) == {"report.html", "findings.json", "changes.json", "findings.xml", "report.md"}
    texts["terminal"] = "\n".join(lines(report.changes))
    for name, text in texts.items():
        for secret in (SECRET, "p%40ss", "hunter2hunter2"):
            assert secret not in text, name
