"""Loki's query API over lines in memory: enough LogQL for counting and reading, with its limits and its words.

    store = LogStore([entry(moment, "line", job="web"), …])
    with HttpStub(loki_routes(store)) as stub: …

Understood: stream selectors, line filters (``|=``, ``!=``, ``|~``, ``!~``), ``count_over_time(… [range])``, and
``sum`` or ``sum by (label)`` around it. As the real one it returns no series where nothing matches, at most ``limit``
lines (100 unless asked otherwise) and refuses more than 5000.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from lab.http_stub import Reply, Request, Routes

DEFAULT_LIMIT = 100
MAX_LIMIT = 5000
_UNITS = {"ms": 10**6, "s": 10**9, "m": 60 * 10**9, "h": 3600 * 10**9, "d": 86400 * 10**9, "w": 604800 * 10**9}


@dataclass(frozen=True)
class Entry:
    """One line: nanoseconds since 1970, the labels of its stream, the text."""

    nanoseconds: int
    labels: tuple[tuple[str, str], ...]
    line: str


def entry(moment: datetime, line: str, **labels: str) -> Entry:
    return Entry(int(moment.timestamp() * 1000) * 10**6, tuple(sorted(labels.items())), line)


@dataclass
class LogStore:
    """Lines that can be added to while the stub runs."""

    entries: list[Entry] = field(default_factory=list)

    def add(self, entries: Iterable[Entry]) -> None:
        self.entries.extend(entries)


class LogQlError(ValueError):
    """What Loki says to a query it does not accept."""


Condition = Callable[[str], bool]


@dataclass
class _LogQuery:
    matchers: list[tuple[str, Condition]]
    filters: list[Condition]

    def matches(self, each: Entry) -> bool:
        labels = dict(each.labels)
        return all(holds(labels.get(name, "")) for name, holds in self.matchers) and all(
            holds(each.line) for holds in self.filters
        )


@dataclass
class _Count:
    logs: _LogQuery
    span: int
    by: str | None


class _Parser:
    """Recursive descent over the subset."""

    _TOKEN = re.compile(
        r"""\s*(?:(?P<string>"(?:\\.|[^"\\])*"|`[^`]*`)|(?P<span>\[[^\]]*\])|(?P<word>[A-Za-z_]\w*)"""
        r"""|(?P<mark>\|=|\|~|!=|!~|=~|[={},()]))"""
    )

    def __init__(self, text: str) -> None:
        self.text = text
        self.tokens: list[tuple[str, str, int]] = []
        position = 0
        while text[position:].strip():
            match = self._TOKEN.match(text, position)
            if match is None:
                raise LogQlError(f"parse error at line 1, col {position + 1}: syntax error: unexpected character")
            kind = str(match.lastgroup)
            self.tokens.append((kind, match[kind], match.start(kind)))
            position = match.end()
        self.next = 0

    def parse(self) -> _LogQuery | _Count:
        result = self._count() if self._peek()[0] == "word" else self._logs()
        if self.next < len(self.tokens):
            self._unexpected()
        return result

    def _peek(self) -> tuple[str, str, int]:
        return self.tokens[self.next] if self.next < len(self.tokens) else ("end", "$end", len(self.text))

    def _unexpected(self) -> None:
        kind, word, position = self._peek()
        shown = "$end" if kind == "end" else word
        raise LogQlError(f"parse error at line 1, col {position + 1}: syntax error: unexpected {shown}")

    def _take(self, kind: str, *words: str) -> str:
        found, word, _ignored = self._peek()
        if found != kind or (words and word not in words):
            self._unexpected()
        self.next += 1
        return word

    def _count(self) -> _Count:
        by = None
        outer = self._take("word", "sum", "count_over_time")
        if outer == "sum":
            if self._peek()[1] == "by":
                self.next += 1
                self._take("mark", "(")
                by = self._take("word")
                self._take("mark", ")")
            self._take("mark", "(")
            self._take("word", "count_over_time")
        self._take("mark", "(")
        logs = self._logs()
        span = nanoseconds_of(self._take("span")[1:-1].strip())
        self._take("mark", ")")
        if outer == "sum":
            self._take("mark", ")")
        return _Count(logs, span, by)

    def _logs(self) -> _LogQuery:
        self._take("mark", "{")
        matchers: list[tuple[str, Condition]] = []
        selective = False
        while self._peek()[1] != "}":
            name = self._take("word")
            sign = self._take("mark", "=", "!=", "=~", "!~")
            holds = condition({"=": "==", "=~": "full~", "!~": "!full~"}.get(sign, "!=="), self._string())
            matchers.append((name, holds))
            selective = selective or not holds("")
            if self._peek()[1] == ",":
                self.next += 1
        self._take("mark", "}")
        if not selective:
            raise LogQlError(
                "parse error : queries require at least one regexp or equality matcher that does not have an "
                'empty-compatible value. For instance, app=~".*" does not meet this requirement, but app=~".+" will'
            )
        filters = []
        while self._peek()[1] in ("|=", "!=", "|~", "!~"):
            sign = self._take("mark")
            filters.append(condition({"|=": "in", "!=": "!in", "|~": "~", "!~": "!~"}[sign], self._string()))
        return _LogQuery(matchers, filters)

    def _string(self) -> str:
        raw = self._take("string")
        if raw.startswith("`"):
            return raw[1:-1]
        return re.sub(r"\\(.)", lambda found: {"n": "\n", "t": "\t"}.get(found[1], found[1]), raw[1:-1])


def condition(sign: str, wanted: str) -> Condition:
    negated = sign.startswith("!")
    kind = sign.lstrip("!")
    if kind in ("~", "full~"):
        try:
            expression = re.compile(wanted)
        except re.error as error:
            raise LogQlError(f"parse error : error parsing regexp: {error}") from None
        search = expression.search if kind == "~" else expression.fullmatch
        return lambda text: (search(text) is not None) != negated
    if kind == "in":
        return lambda text: (wanted in text) != negated
    return lambda text: (text == wanted) != negated


def nanoseconds_of(text: str) -> int:
    amounts = re.findall(r"(\d+)(ms|[smhdw])", text)
    if not amounts or "".join(amount + unit for amount, unit in amounts) != text:
        raise LogQlError(f'parse error : not a valid duration string: "{text}"')
    return sum(int(amount) * _UNITS[unit] for amount, unit in amounts)


def _moment(text: str | None, otherwise: int) -> int:
    if text is None:
        return otherwise
    if re.fullmatch(r"\d{1,11}(\.\d+)?", text):
        return int(float(text) * 10**9)
    if text.isdigit():
        return int(text)
    return int(datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp() * 10**9)


def loki_routes(store: LogStore, *, tenant: str | None = None) -> Routes:
    """The routes of a Loki server for ``HttpStub``; with ``tenant`` it is one with several, and asks for that one."""

    def guarded(answer: Callable[[Request, Callable[[str], str | None]], Reply]) -> Callable[[Request], Reply]:
        def route(request: Request) -> Reply:
            if tenant is not None and request.headers.get("x-scope-orgid") != tenant:
                return Reply(401, "no org id")
            try:
                return answer(request, _arguments(request))
            except LogQlError as error:
                return Reply(400, f"{error}")

        return route

    def instant(_ignored: Request, argument: Callable[[str], str | None]) -> Reply:
        query = _Parser(argument("query") or "").parse()
        if not isinstance(query, _Count):
            raise LogQlError(
                "log queries are not supported as an instant query type, please change your query to a range query type"
            )
        at = _moment(argument("time"), time.time_ns())
        counts: dict[tuple[tuple[str, str], ...], int] = {}
        for each in store.entries:
            if at - query.span < each.nanoseconds <= at and query.logs.matches(each):
                key = ((query.by, dict(each.labels).get(query.by, "")),) if query.by else ()
                counts[key] = counts.get(key, 0) + 1
        vector = [{"metric": dict(key), "value": [at // 10**9, str(count)]} for key, count in counts.items()]
        return _success("vector", vector)

    def ranged(_ignored: Request, argument: Callable[[str], str | None]) -> Reply:
        query = _Parser(argument("query") or "").parse()
        if isinstance(query, _Count):
            raise LogQlError("parse error : metric queries over a range are not part of this stub")
        limit = int(argument("limit") or DEFAULT_LIMIT)
        if limit > MAX_LIMIT:
            raise LogQlError(
                f"max entries limit per query exceeded, limit > max_entries_limit_per_query ({limit} > {MAX_LIMIT})"
            )
        now = time.time_ns()
        end = _moment(argument("end"), now)
        start = _moment(argument("start"), end - 3600 * 10**9)
        found = [each for each in store.entries if start <= each.nanoseconds < end and query.matches(each)]
        found.sort(key=lambda each: each.nanoseconds, reverse=argument("direction") != "forward")
        streams: dict[tuple[tuple[str, str], ...], list[list[str]]] = {}
        for each in found[:limit]:
            streams.setdefault(each.labels, []).append([str(each.nanoseconds), each.line])
        return _success("streams", [{"stream": dict(key), "values": lines} for key, lines in streams.items()])

    return {
        "/loki/api/v1/query": guarded(instant),
        "/loki/api/v1/query_range": guarded(ranged),
        "/ready": "ready\n",
    }


def _arguments(request: Request) -> Callable[[str], str | None]:
    from urllib.parse import parse_qs

    form = parse_qs(request.body.decode()) if request.method == "POST" else {}

    def argument(name: str) -> str | None:
        values = form.get(name) or request.query.get(name)
        return values[0] if values else None

    return argument


def _success(kind: str, result: list[Any]) -> Reply:
    return Reply(200, {"status": "success", "data": {"resultType": kind, "result": result, "stats": {}}})
