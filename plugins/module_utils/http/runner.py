# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Sending probes side by side, and the result of the module."""

from __future__ import annotations

import dataclasses
import datetime as dt
import queue
import threading
from collections.abc import Mapping, Sequence
from typing import Any

from ansible_collections.runbook.ops.plugins.module_utils.common.errors import InvalidOption
from ansible_collections.runbook.ops.plugins.module_utils.http.client import HttpClient, Response, tls_context
from ansible_collections.runbook.ops.plugins.module_utils.http.errors import HttpFailure
from ansible_collections.runbook.ops.plugins.module_utils.http.options import Settings, settings_from
from ansible_collections.runbook.ops.plugins.module_utils.http.probes import (
    Probe,
    Sample,
    credentials_origin,
    figures,
    not_sent,
    plan_probes,
    skipped_values,
    summarise,
    unavailable_reason,
)

# A server that did not even begin to answer twice in a row is not asked the other 98 times.
_PATIENCE = 2


def measure(params: Mapping[str, Any], moment: dt.datetime, *, sends_posts: bool) -> dict[str, Any]:
    """Everything C(http_probe_info) returns about its probes.

    Args:
        params: The options of the module.
        moment: What the days of certificates are counted from.
        sends_posts: Whether probes with the method POST are sent.

    """
    settings = settings_from(params)
    planned = plan_probes(params, settings.timeout)
    for option, lowest, highest in (("threads", 1, 32), ("max_body_bytes", 1024, 1 << 26)):
        if not lowest <= params[option] <= highest:
            raise InvalidOption(option, params[option], f"{lowest} to {highest}")
    has_credentials = bool(settings.authorization or settings.headers)
    origin = credentials_origin(planned, params.get("base_url") or None) if has_credentials else None
    probes = [probe for probe in planned if sends_posts or probe.method != "POST"]
    samples = run_probes(
        probes,
        settings,
        credentials_for=origin,
        threads=params["threads"],
        max_body_bytes=params["max_body_bytes"],
    )
    seen = [summarise(probe, its, moment) for probe, its in zip(probes, samples)]
    reason = unavailable_reason(samples)
    return {
        "available": reason is None,
        "reason": reason,
        "skipped_sections": skipped_values(seen) + [not_sent(probe) for probe in planned if probe not in probes],
        "values": {probe["name"]: probe["values"] for probe in seen if probe["values"]},
        "figures": figures(seen),
        "probes": seen,
    }


def run_probes(
    probes: Sequence[Probe],
    settings: Settings,
    *,
    credentials_for: tuple[str, str, int] | None,
    threads: int,
    max_body_bytes: int,
) -> list[list[Sample]]:
    """The samples of every probe, in the order of the probes.

    Args:
        probes: What to ask for. Probes run side by side, the samples of one probe one after the other.
        settings: How to speak; its credentials and headers go to C(credentials_for) only.
        credentials_for: Origin (scheme, host, port).
        threads: At most that many requests at a time.
        max_body_bytes: How much of a body is read.

    """
    # Reading the authorities' certificates takes longer than many a probe, so it is done once for all.
    context = tls_context(settings) if any(probe.is_tls for probe in probes) else None
    bare = dataclasses.replace(settings, authorization=None, headers={})
    results: list[list[Sample]] = [[] for probe in probes]
    waiting: queue.SimpleQueue[tuple[int, Probe]] = queue.SimpleQueue()
    for position, probe in enumerate(probes):
        waiting.put((position, probe))

    def work() -> None:
        while True:
            try:
                position, probe = waiting.get_nowait()
            except queue.Empty:
                return
            own = settings if probe.url.origin == credentials_for else bare
            results[position] = _sample(probe, HttpClient(own, max_body_bytes=max_body_bytes, context=context))

    workers = [threading.Thread(target=work, name=f"probe {number}") for number in range(min(threads, len(probes)))]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    return results


def _sample(probe: Probe, client: HttpClient) -> list[Sample]:
    samples: list[Sample] = []
    silent = 0
    with client:
        while len(samples) < probe.samples and silent < _PATIENCE:
            sample = _one(client, probe)
            samples.append(sample)
            silent = silent + 1 if sample.status is None else 0
    return samples


def _one(client: HttpClient, probe: Probe) -> Sample:
    try:
        response = client.request(
            probe.method,
            probe.url.text,
            headers=probe.headers,
            body=probe.body,
            follow_redirects=probe.follow_redirects,
            timeout=probe.timeout,
            # Every sample is a new visitor, who waits for the name, the connection and the handshake too.
            fresh=True,
        )
    except HttpFailure as failure:
        times = client.last_timings
        return Sample(
            failure.status,
            failure=failure.message,
            timed_out=failure.timed_out,
            total_seconds=times.total_seconds,
            dns_seconds=times.dns_seconds,
            connect_seconds=times.connect_seconds,
            tls_seconds=times.tls_seconds,
            first_byte_seconds=times.first_byte_seconds,
            certificate=client.last_certificate,
        )
    except Exception as error:  # a thread must hand its finding over, whatever happens in it
        return Sample(None, failure=f"the probe failed ({type(error).__name__}). Report this as a fault of the module")
    return _sample_of(response)


def _sample_of(response: Response) -> Sample:
    times = response.timings
    return Sample(
        response.status,
        total_seconds=times.total_seconds,
        dns_seconds=times.dns_seconds,
        connect_seconds=times.connect_seconds,
        tls_seconds=times.tls_seconds,
        first_byte_seconds=times.first_byte_seconds,
        body=response.body,
        content_type=response.headers.get("content-type", ""),
        size_bytes=response.size_bytes,
        is_truncated=response.is_truncated,
        redirects=response.redirects,
        not_followed=response.not_followed,
        certificate=response.certificate,
    )
