# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The only place that asks Prometheus, or anything else that speaks its HTTP API."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Any

from ansible_collections.runbook.ops.plugins.module_utils.common.errors import InvalidOption, Unavailable
from ansible_collections.runbook.ops.plugins.module_utils.http.api import ApiError, JsonApi, NotTheApi
from ansible_collections.runbook.ops.plugins.module_utils.http.options import settings_from
from ansible_collections.runbook.ops.plugins.module_utils.prometheus.model import failed, read_answer, read_targets
from ansible_collections.runbook.ops.plugins.module_utils.prometheus.plan import Query, plan_queries

# After that many queries in a row without an answer in time the rest is not tried.
_PATIENCE = 2
_HEALTH_REMEDY = "Give the login access to /api/v1/targets, or set targets to false"
_QUERY_REMEDY = "Run the query in Prometheus' graph page, then correct it in the inventory"


def measure(params: Mapping[str, Any], moment: dt.datetime, *, at: dt.datetime | None) -> dict[str, Any]:
    """Everything C(prometheus_query_info) returns.

    Args:
        params: The options of the module.
        moment: What ages and relative windows are counted from.
        at: Evaluate instant queries at that moment; None leaves it to the server's clock.

    Raises:
        InvalidOption: before anything is sent.

    """
    settings = settings_from(params)
    queries = plan_queries(params, moment)
    top = params["top"]
    if not 1 <= top <= 10000:
        raise InvalidOption("top", top, "1 to 10000")
    if not queries and not params["targets"]:
        raise InvalidOption("queries", [], "at least one query, or targets")
    api = JsonApi("Prometheus", params["url"], settings)
    reader = _Reader(api, settings.timeout, at, top)
    with api:
        try:
            health = reader.health(moment, has_queries=bool(queries)) if params["targets"] else {}
            answers = reader.answers(queries)
        except Unavailable as error:
            return _result(error.message, {}, [], [], reader)
    return _result(None, health, queries, answers, reader)


class _Reader:
    def __init__(self, api: JsonApi, timeout: float, at: dt.datetime | None, top: int) -> None:
        self._api = api
        self._at = at
        self._top = top
        # The server gives up a little before we do, so that it can still say why.
        self._server_timeout = f"{max(1, int(timeout * 900))}ms"
        self.skipped: list[dict[str, str]] = []
        self.warnings: list[str] = []
        self.infos: list[str] = []

    def health(self, moment: dt.datetime, *, has_queries: bool) -> dict[str, Any]:
        try:
            document = self._api.get("/api/v1/targets", {"state": "active"})
        except ApiError as error:
            self._skip("targets", error.message, _HEALTH_REMEDY)
            return {}
        except NotTheApi:
            # Long-term stores answer queries but have no targets of their own. What is no store either will say so
            # to the first query.
            if not has_queries:
                raise
            self._skip("targets", "this server has no /api/v1/targets", _HEALTH_REMEDY)
            return {}
        return {"targets": read_targets(document.get("data") or {}, moment, self._top)}

    def answers(self, queries: Sequence[Query]) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        silent, lost = 0, ""
        for query in queries:
            if lost or silent >= _PATIENCE:
                found.append(failed(query, lost or f"not asked: {_PATIENCE} queries before got no answer in time"))
                continue
            try:
                found.append(self._answer(query))
                silent = 0
            except ApiError as error:
                found.append(failed(query, error.message))
                silent = silent + 1 if error.timed_out else 0
            except Unavailable as error:
                if not self._api.has_answered:
                    raise
                lost = error.message
                found.append(failed(query, lost))
        for facts in found:
            if facts["reason"]:
                self._skip(facts["name"], facts["reason"], _QUERY_REMEDY)
        return found

    def _answer(self, query: Query) -> dict[str, Any]:
        parameters = {"query": query.expression, "timeout": self._server_timeout}
        path = "/api/v1/query"
        if query.window:
            path = "/api/v1/query_range"
            parameters["start"] = str(query.window.start.timestamp())
            parameters["end"] = str(query.window.end.timestamp())
            parameters["step"] = str(query.window.step_seconds)
        elif self._at is not None:
            parameters["time"] = str(self._at.timestamp())
        document = self._api.get(path, parameters)
        for kept, key in ((self.warnings, "warnings"), (self.infos, "infos")):
            kept.extend(f"{query.name}: {text}" for text in document.get(key) or ())
        return read_answer(query, document.get("data") or {}, self._top)

    def _skip(self, section: str, reason: str, remedy: str) -> None:
        self.skipped.append({"section": section, "reason": reason, "remedy": remedy})


def _result(
    reason: str | None,
    health: dict[str, Any],
    queries: Sequence[Query],
    answers: Sequence[dict[str, Any]],
    reader: _Reader,
) -> dict[str, Any]:
    pairs = list(zip(queries, answers))
    for facts in answers:
        facts["known"] = facts["reason"] is None
    return {
        "available": reason is None,
        "reason": reason,
        "skipped_sections": [] if reason else reader.skipped,
        "health": health,
        "values": {query.name: facts["value"] for query, facts in pairs if not query.many},
        "series": {query.name: facts.pop("series", None) for query, facts in pairs if query.many},
        "statistics": {query.name: facts["statistics"] for query, facts in pairs if query.window and not query.many},
        "queries": list(answers),
        "warnings_count": len(reader.warnings),
        "api_warnings": reader.warnings,
        "api_infos": reader.infos,
    }
