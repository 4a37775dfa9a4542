"""The page: one file, well-formed, escaped, readable in both themes, bounded."""

from __future__ import annotations

import base64
import datetime as dt
import hashlib
import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from ansible_collections.runbook.ops.plugins.plugin_utils.report import html as page_module
from ansible_collections.runbook.ops.plugins.plugin_utils.report.document import build_document
from ansible_collections.runbook.ops.plugins.plugin_utils.report.html import render_html

Make = Callable[..., dict[str, Any]]
MOMENT = dt.datetime(2025, 10, 17, 0, 0, 4, tzinfo=dt.timezone.utc)
VOID = {"meta", "link", "input", "br", "img"}


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
        assert len(dict(attrs)) == len(attrs), f"{tag} has an attribute twice"
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open, f"{tag} closed, but nothing is open"
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if not {"style", "script"} & set(self.open):
            self.text.append(data)

    def having(self, name: str) -> list[str]:
        return [str(attributes[name]) for _tag, attributes in self.tags if name in attributes]

    @property
    def words(self) -> str:
        return " ".join(" ".join(self.text).split())


def render(findings: list[dict[str, Any]], facts: Any = None, history: Any = (), title: str = "Check") -> str:
    document = build_document(
        findings, facts or {}, history, lambda data: data, title=title, moment=MOMENT, zone=ZoneInfo("Asia/Seoul")
    )
    return render_html(document)


@pytest.fixture
def sample(
    sample_findings: list[dict[str, Any]], sample_facts: dict[str, Any], sample_history: list[dict[str, Any]]
) -> str:
    return render(sample_findings, sample_facts, sample_history, "StoreBridge daily check")


def test_the_sample_is_well_formed_and_says_it_all(sample: str, sample_findings: list[dict[str, Any]]) -> None:
    page = Page(sample)
    assert page.tags[0] == ("html", {"lang": "en"})
    for finding in sample_findings:
        assert " ".join(finding["summary"].split()) in page.words
    assert "수동 검토 큐" in page.words
    assert "Fri 17 Oct 2025, 09:00 KST" in page.words
    assert page.having("data-severity").count("critical") == 3
    assert len(page.having("data-severity")) == 60
    assert page.having("data-command")[0] == "ansible-playbook runbook.ops.backup_data --limit storebridge-postgres"


def test_links_inside_the_page_lead_somewhere_and_ids_are_unique(sample: str) -> None:
    page = Page(sample)
    ids = page.having("id")
    assert len(ids) == len(set(ids))
    assert {target.removeprefix("#") for target in page.having("href")} <= set(ids)
    assert all(target.startswith("#") for target in page.having("href"))


def test_nothing_is_loaded_from_anywhere(sample: str) -> None:
    page = Page(sample)
    assert not {tag for tag, _attributes in page.tags} & {"link", "img", "iframe", "object", "embed", "base"}
    assert page.having("src") == []
    assert page.having("srcset") == []
    style = sample.split("<style>", 1)[1].split("</style>", 1)[0]
    assert "url(" not in style
    assert "@import" not in style


def test_only_its_own_script_may_run(sample: str) -> None:
    (script,) = re.findall(r"<script>(.*?)</script>", sample, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src &#39;sha256-{digest}&#39;" in sample or f"script-src 'sha256-{digest}'" in sample
    assert "default-src 'none'" in sample
    assert not any(name.startswith("on") for _tag, attributes in Page(sample).tags for name in attributes)


EVIL = "</script></style></pre>\"'><script>alert(1)</script><img src=x onerror=alert(1)>"


@pytest.mark.parametrize(
    "key",
    [
        "id",
        "system",
        "host",
        "object",
        "summary",
        "remedy",
        "priority",
        "source",
        "unit",
        "threshold",
        "measured_at",
        "value",
    ],
)
@pytest.mark.parametrize("severity", ["critical", "unknown", "ok"])
def test_no_field_can_become_markup(make_finding: Make, key: str, severity: str) -> None:
    finding = make_finding(severity=severity, **{key: EVIL})
    page = Page(
        render(
            [finding],
            {
                finding["host"]: {
                    finding["source"]: {EVIL: EVIL, "queues": [{"name": finding["object"], "depth": finding["value"]}]}
                }
            },
            [{"measured_at": "2025-10-16T00:00:00Z", "findings": [make_finding(object="gone" + EVIL), finding]}],
            EVIL,
        )
    )
    tags = [tag for tag, _attributes in page.tags]
    assert tags.count("script") == 1
    assert "img" not in tags
    assert not any(name.startswith("on") for _tag, attributes in page.tags for name in attributes)


def test_ladders_and_remedies_cannot_become_markup(make_finding: Make) -> None:
    finding = make_finding(
        ladder={"warning": f"> 5 {EVIL}", "critical": EVIL}, remedy=f"`{EVIL}` ansible-playbook {EVIL}"
    )
    tags = [tag for tag, _attributes in Page(render([finding])).tags]
    assert tags.count("script") == 1
    assert "img" not in tags


def test_it_says_how_sure_it_is(make_finding: Make) -> None:
    page = Page(render([make_finding(severity="unknown", value=None, summary="Loki did not answer")]))
    assert "could not be measured, so not known to be fine" in page.words
    assert "Not measured" in page.words
    assert "check is fine" not in page.words


def test_severity_is_never_colour_alone(sample: str) -> None:
    page = Page(sample)
    assert sum(attributes.get("class") == "badge badge-critical" for _tag, attributes in page.tags) == 3
    labels = page.having("aria-label")
    assert "93.8 %; warning > 80 % and critical > 90 %" in labels
    assert "Trend over 14 runs since 4 Oct: from 61 % to 93.8 %" in labels


def test_everything_is_there_without_scripts(sample: str) -> None:
    style = sample.split("<style>", 1)[1].split("</style>", 1)[0]
    assert "html:not(.js) .needs-js { display: none !important; }" in style
    page = Page(sample)
    for tag, attributes in page.tags:
        if tag == "button":
            assert "needs-js" in str(attributes["class"]) or "data-severity-toggle" in attributes


def test_long_facts_are_shortened_and_say_so(make_finding: Make) -> None:
    facts = {
        "storebridge-redis": {
            "runbook.ops.redis_queue_info": {"queues": [{"name": f"q{n}", "text": "x" * 900} for n in range(500)]}
        }
    }
    text = render([make_finding()], facts)
    assert "Shortened: 488 entries left out, 12 long texts cut." in text
    assert len(text) < 120_000


def test_twenty_thousand_findings_make_a_page_that_opens(make_finding: Make) -> None:
    findings = [
        make_finding(id=f"rule.{n % 300}", object=f"t{n}", severity=("critical", "warning", "unknown", "ok")[n % 4])
        for n in range(20_000)
    ]
    text = render(findings)
    assert len(text) < 3_000_000
    words = Page(text).words
    assert "4,800 more critical findings are not drawn here; every one of them is in findings.json." in words
    assert "4,500 more are fine and not listed here; every one of them is in findings.json." in words


def test_no_findings_is_not_fine() -> None:
    words = Page(render([])).words
    assert "Nothing was checked" in words
    assert "fine" not in words.replace("Made by", "")


def _channel(value: int) -> float:
    share = value / 255
    return share / 12.92 if share <= 0.03928 else ((share + 0.055) / 1.055) ** 2.4


def _luminance(colour: str) -> float:
    red, green, blue = (_channel(int(colour[at : at + 2], 16)) for at in (1, 3, 5))
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@pytest.mark.parametrize("theme", [0, 1], ids=["light", "dark"])
@pytest.mark.parametrize(
    ("text", "ground"),
    [
        *((text, ground) for text in ("ink", "soft", "faint", "link") for ground in ("page", "card", "sunk")),
        *(
            (severity, ground)
            for severity in ("critical", "warning", "unknown", "ok")
            for ground in ("page", "card", "sunk")
        ),
        *((severity, f"{severity}-tint") for severity in ("critical", "warning", "unknown", "ok")),
    ],
)
def test_contrast(theme: int, text: str, ground: str) -> None:
    """WCAG 2.1, 1.4.3: at least 4.5 to 1."""
    style = (Path(page_module.__file__).parent / "templates" / "page.css").read_text(encoding="utf-8")
    colours = {name: pair for name, *pair in re.findall(r"--([a-z-]+): light-dark\((#\w{6}), (#\w{6})\)", style)}
    lighter, darker = sorted((_luminance(colours[text][theme]), _luminance(colours[ground][theme])), reverse=True)
    assert (lighter + 0.05) / (darker + 0.05) >= 4.5
