# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Probes: what is asked for, checked; what was seen, summed up. Pure."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.runbook.ops.plugins.module_utils.common.clock import iso
from ansible_collections.runbook.ops.plugins.module_utils.common.errors import InvalidOption
from ansible_collections.runbook.ops.plugins.module_utils.http.certificate import Certificate
from ansible_collections.runbook.ops.plugins.module_utils.http.model import (
    body_kind,
    error_text,
    extract_values,
    latency,
    median,
    rounded,
    share_percent,
)
from ansible_collections.runbook.ops.plugins.module_utils.http.options import checked_headers
from ansible_collections.runbook.ops.plugins.module_utils.http.urls import Url, join, parse_url, with_query

MAX_SAMPLES = 100
# Names are used in dotted paths of rules, where a dot would separate.
_NAME = re.compile(r"[A-Za-z0-9_-]+")


@dataclass(frozen=True)
class Probe:
    """One thing to ask for, checked. C(timeout) in seconds is for one request with its redirects."""

    name: str
    url: Url
    method: str
    headers: Mapping[str, str] = field(repr=False)
    body: bytes | None = field(repr=False)
    expected_status: tuple[int, ...]
    json: tuple[Mapping[str, str], ...]
    samples: int
    timeout: float
    follow_redirects: str

    @property
    def is_tls(self) -> bool:
        """Whether there is a certificate to look at."""
        return self.url.scheme == "https"


@dataclass(frozen=True)
class Sample:
    """One request of a probe. C(status) None means that no answer began; C(failure) why it was not complete."""

    status: int | None
    total_seconds: float | None = None
    dns_seconds: float | None = None
    connect_seconds: float | None = None
    tls_seconds: float | None = None
    first_byte_seconds: float | None = None
    failure: str | None = None
    timed_out: bool = False
    body: bytes = field(default=b"", repr=False)
    content_type: str = ""
    size_bytes: int | None = None
    is_truncated: bool = False
    redirects: Sequence[str] = ()
    not_followed: str | None = None
    certificate: Certificate | None = None


def plan_probes(params: Mapping[str, Any], timeout: float) -> list[Probe]:
    """The probes in a module's options, or InvalidOption before anything is sent."""
    wanted = params["probes"]
    if not wanted:
        raise InvalidOption("probes", wanted, "at least one probe")
    probes = [_probe(item, params.get("base_url") or None, timeout) for item in wanted]
    names = [probe.name for probe in probes]
    for name in names:
        if names.count(name) > 1:
            raise InvalidOption("probes.name", name, "a name that no other probe has")
    return probes


def _probe(item: Mapping[str, Any], base_url: str | None, timeout: float) -> Probe:
    name = checked_name(item["name"], "probes.name")
    own = f"probes[{name}]"
    text = _address(item, base_url, own)
    samples = item["samples"]
    if not 1 <= samples <= MAX_SAMPLES:
        raise InvalidOption(f"{own}.samples", samples, f"1 to {MAX_SAMPLES}")
    limit = timeout if item.get("timeout") is None else float(item["timeout"])
    if not 0 < limit <= 600:
        raise InvalidOption(f"{own}.timeout", item["timeout"], "seconds above 0 and up to 600")
    statuses = tuple(item["expected_status"])
    if not statuses or any(not 100 <= status <= 599 for status in statuses):
        raise InvalidOption(f"{own}.expected_status", list(statuses), "statuses from 100 to 599")
    body = item.get("body")
    if body is not None and item["method"] != "POST":
        raise InvalidOption(f"{own}.method", item["method"], "POST when there is a body")
    return Probe(
        name=name,
        url=parse_url(with_query(text, item.get("query") or {}), f"{own}.url"),
        method=item["method"],
        headers=checked_headers(item.get("headers"), f"{own}.headers"),
        body=None if body is None else str(body).encode(),
        expected_status=statuses,
        json=tuple(_wanted(each, own) for each in item.get("json") or ()),
        samples=samples,
        timeout=limit,
        follow_redirects=item["follow_redirects"],
    )


def _address(item: Mapping[str, Any], base_url: str | None, own: str) -> str:
    url, path = item.get("url") or None, item.get("path")
    if url:
        if path is not None:
            raise InvalidOption(own, "both url and path", "one of them")
        return str(url)
    if path is None:
        raise InvalidOption(own, "neither url nor path", "one of them")
    if not base_url:
        raise InvalidOption(f"{own}.path", path, "a path when base_url is given, else a url")
    parse_url(base_url, "base_url")
    return join(base_url, str(path))


def _wanted(each: Mapping[str, str], own: str) -> dict[str, str]:
    path = each["path"].strip()
    if not path or any(not part for part in path.split(".")):
        raise InvalidOption(f"{own}.json.path", each["path"], "a dotted path such as pagination.total or items.0.count")
    name = checked_name(each.get("name") or path.split(".")[-1], f"{own}.json.name")
    return {"path": path, "name": name, "type": each.get("type") or "number"}


def checked_name(name: str, option: str) -> str:
    """A name that rules can use in a dotted path."""
    if not _NAME.fullmatch(name):
        raise InvalidOption(option, name, "letters, digits, underscores and dashes")
    return name


def credentials_origin(probes: Sequence[Probe], base_url: str | None) -> tuple[str, str, int]:
    """The one server that the module's credentials are for.

    It is that of C(base_url). Without one all probes must have the same: a token is not tried on several servers.
    """
    if base_url:
        return parse_url(base_url, "base_url").origin
    origins = {probe.url.origin for probe in probes}
    if len(origins) > 1:
        raise InvalidOption(
            "base_url",
            None,
            "the server that the credentials are for, when probes go to several servers",
        )
    return origins.pop()


# --- what was seen


def summarise(probe: Probe, samples: Sequence[Sample], moment: dt.datetime) -> dict[str, Any]:
    """The facts of one probe; C(moment) is what the days of the certificate are counted from."""
    worst = _first_bad(probe, samples)
    seen = worst[0] if worst else samples[-1]
    answered = [sample for sample in samples if sample.failure is None and sample.status is not None]
    failed = sum(1 for sample in samples if _reason(probe, sample))
    kind = None if seen.failure is not None else _kind(seen)
    values, value_reasons = _values(probe, seen, worst[1] if worst else None, kind)
    reason = worst[1] if worst else None
    if failed and len(samples) > 1:
        reason = f"{failed} of {len(samples)} requests failed: {reason}"
    certificate = next((sample.certificate for sample in samples if sample.certificate), None)
    return {
        "name": probe.name,
        "url": probe.url.display,
        "endpoint": probe.url.display.partition("?")[0],
        "method": probe.method,
        "ok": reason is None,
        "reason": reason,
        "reachable": any(sample.status is not None for sample in samples),
        "status": seen.status,
        "expected_status": list(probe.expected_status),
        "samples_count": len(samples),
        "answered_count": len(answered),
        "failed_count": failed,
        "failed_percent": share_percent(failed, len(samples)),
        "latency": latency([sample.total_seconds for sample in answered if sample.total_seconds is not None]),
        "dns_seconds": median(sample.dns_seconds for sample in samples),
        "connect_seconds": median(sample.connect_seconds for sample in samples),
        "tls_seconds": median(sample.tls_seconds for sample in samples),
        "first_byte_seconds": median(sample.first_byte_seconds for sample in samples),
        "total_seconds": rounded(seen.total_seconds),
        "tls": probe.is_tls,
        "tls_days_left": certificate.days_left(moment) if certificate else None,
        "tls_not_after": iso(certificate.not_after) if certificate else None,
        "tls_subject": certificate.subject if certificate else None,
        "tls_issuer": certificate.issuer if certificate else None,
        "redirects": list(seen.redirects),
        "body_kind": kind,
        "size_bytes": seen.size_bytes if seen.failure is None else None,
        "body_truncated": seen.is_truncated,
        "values": values,
        "value_reasons": value_reasons,
    }


def _first_bad(probe: Probe, samples: Sequence[Sample]) -> tuple[Sample, str] | None:
    for sample in samples:
        reason = _reason(probe, sample)
        if reason:
            return sample, reason
    return None


def _reason(probe: Probe, sample: Sample) -> str | None:
    """Why an answer is not what was expected."""
    if sample.failure is not None:
        return sample.failure
    if sample.status in probe.expected_status:
        return None
    expected = " or ".join(str(status) for status in probe.expected_status)
    why = sample.not_followed or error_text(sample.body)
    return f"status {sample.status} instead of {expected}{f': {why}' if why else ''}"


def _kind(sample: Sample) -> str:
    if sample.is_truncated:
        return "truncated"
    return body_kind(sample.body, sample.content_type)


def _values(probe: Probe, seen: Sample, reason: str | None, kind: str | None) -> tuple[dict[str, Any], dict[str, str]]:
    """Values and why there is none. A wrong status makes every value unknown: error bodies have numbers too."""
    if reason is None and kind == "truncated":
        reason = "the body is larger than max_body_bytes"
    if reason is not None:
        return {item["name"]: None for item in probe.json}, {item["name"]: reason for item in probe.json}
    found = extract_values(seen.body, kind or "empty", probe.json)
    values = {name: pair[0] for name, pair in found.items()}
    return values, {name: pair[1] for name, pair in found.items() if pair[1]}


def figures(probes: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Every value of every probe as one list, for a rule about all of them."""
    return [
        {
            "id": f"{probe['name']}.{name}",
            "probe": probe["name"],
            "name": name,
            "value": value,
            "known": value is not None,
            "reason": probe["value_reasons"].get(name),
            "probe_ok": probe["ok"],
        }
        for probe in probes
        for name, value in probe["values"].items()
    ]


def skipped_values(probes: Sequence[Mapping[str, Any]]) -> list[dict[str, str]]:
    """One entry a probe whose values are unknown, so that rules about them can say why."""
    return [
        {
            "section": probe["name"],
            "reason": next(iter(probe["value_reasons"].values())),
            "remedy": "Ask for the address with curl -i and correct the service, the token or the probe",
        }
        for probe in probes
        if probe["value_reasons"]
    ]


def not_sent(probe: Probe) -> dict[str, str]:
    """The entry for a probe that check mode keeps back."""
    return {
        "section": probe.name,
        "reason": f"a {probe.method} is not sent in check mode",
        "remedy": "Run without --check",
    }


def unavailable_reason(samples: Sequence[Sequence[Sample]]) -> str | None:
    """Why the target counts as down: no probe got any answer. None if one did, or if there was no probe."""
    if not samples or any(sample.status is not None for its in samples for sample in its):
        return None
    reasons = list(dict.fromkeys(str(its[0].failure) for its in samples))
    more = f" The other probes failed for {len(reasons) - 1} more reasons." if len(reasons) > 1 else ""
    return f"No probe got an answer: {reasons[0]}{more}"
