# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One source read: its files, its journal, its containers; what was read of each, and what was not."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Optional

from ansible_collections.runbook.ops.plugins.module_utils.common.children import Child, first_words, run
from ansible_collections.runbook.ops.plugins.module_utils.common.clock import iso_of
from ansible_collections.runbook.ops.plugins.module_utils.common.errors import RunbookError
from ansible_collections.runbook.ops.plugins.module_utils.logs import blocks, hits, programs
from ansible_collections.runbook.ops.plugins.module_utils.logs.budget import Budget, LimitReached
from ansible_collections.runbook.ops.plugins.module_utils.logs.files import LogFile, expand, open_all, why_missing
from ansible_collections.runbook.ops.plugins.module_utils.logs.framing import DockerCommand, Framing, JournalJson
from ansible_collections.runbook.ops.plugins.module_utils.logs.plan import Window, layout_wanted, zone_of
from ansible_collections.runbook.ops.plugins.module_utils.logs.recognise import Recognised, recognise
from ansible_collections.runbook.ops.plugins.module_utils.logs.scanner import LOOK_BACK_BYTES, Scanner
from ansible_collections.runbook.ops.plugins.module_utils.logs.search import Prober, Range, find_range

_HEAD_BYTES = 256 * 1024
_LAST_WORDS_BYTES = 2000
# Clocks of file systems and programs differ, and a buffer is written late; never by so much.
_MARGIN_SECONDS = 3600.0


@dataclass
class Part:
    """A file, the journal or a container's output, as far as it was read."""

    source: str
    kind: str
    name: str
    way: str = "scan"
    way_reason: Optional[str] = None
    layout: Optional[str] = None
    compression: Optional[str] = None
    size_bytes: Optional[int] = None
    read_bytes: int = 0
    oldest: Optional[float] = None
    newest: Optional[float] = None
    changed: Optional[str] = None
    complete: bool = True

    def facts(self) -> dict[str, Any]:
        """For the result."""
        shown = {key: value for key, value in vars(self).items() if key not in ("oldest", "newest")}
        return {
            **shown,
            "oldest_at": None if self.oldest is None else iso_of(self.oldest),
            "newest_at": None if self.newest is None else iso_of(self.newest),
        }


@dataclass
class Reading:
    """Reads one source into one scanner."""

    source: Mapping[str, Any]
    options: Mapping[str, Any]
    window: Window
    scanner: Scanner
    budget: Budget
    parts: list[Part] = field(default_factory=list)
    skipped: list[dict[str, str]] = field(default_factory=list)

    def run(self) -> None:
        """Read everything; what cannot be read is in C(skipped)."""
        if self.source["paths"]:
            self._files(self.source["paths"])
        if self.source["journal"]:
            argv = programs.journal_command(self.source, self.window.start, self.window.end)
            self._program("journal", "journal", argv, JournalJson())
        for container in [*self.source["containers"], *self._of_services()]:
            found = programs.docker_file(Path(self.source["docker_root"]), container)
            if found is not None:
                self._files([str(found)], kind="container")
            else:
                argv = programs.docker_command(container, self.window.start, self.window.end)
                self._program("container", container, argv, DockerCommand())

    def _of_services(self) -> Iterator[str]:
        project = self.source["project"]
        for service in self.source["services"]:
            containers = programs.containers_of(Path(self.source["docker_root"]), service, project)
            if not containers:
                argv = programs.containers_command(service, project)
                try:
                    containers = run(argv).split()
                except RunbookError as error:
                    self.skip(
                        None, service, error.message, f"Run {' '.join(argv)} on the machine and see what it says."
                    )
                    continue
            if not containers:
                reason = "no container belongs to this service"
                self.skip(None, service, reason, "Correct services and project of the source, or start the service.")
            yield from containers

    def skip(self, part: Part | None, name: str, reason: str, remedy: str) -> None:
        """Something was not read, or not to its end."""
        if part is not None:
            part.complete = False
        self.skipped.append({"section": f"{self.source['name']}: {name}", "reason": reason, "remedy": remedy})

    def _files(self, patterns: list[str], kind: str = "file") -> None:
        paths, missing = expand(patterns, rotated=self.source["rotated"])
        for pattern in missing:
            self.skip(None, pattern, why_missing(pattern), "Correct the path in sources, or run the task with become.")
        files, troubles = open_all(paths, lambda: expand(patterns, rotated=self.source["rotated"])[0])
        for trouble in troubles:
            self.skip(None, *trouble)
        try:
            # The newest first: where a limit ends the work, the older ones are missing.
            for file in sorted(files, key=lambda file: file.modified_ns, reverse=True):
                self._file(file, kind)
        finally:
            for file in files:
                file.close()

    def _file(self, file: LogFile, kind: str) -> None:
        part = Part(self.source["name"], kind, str(file.path), size_bytes=file.size)
        self.parts.append(part)
        start = self.window.start
        if start is not None and file.modified < start - _MARGIN_SECONDS:
            part.way, part.way_reason = "none", "it was last written before the window"
            # How long it has been silent is known all the same.
            part.newest = file.modified if file.size else None
            return
        if file.size == 0:
            return
        try:
            part.compression = file.compression()
            if part.compression:
                self._packed(file, part)
            else:
                self._plain(file, part)
        except LimitReached as error:
            unread = "" if part.compression else f", after {part.read_bytes} of {file.size} bytes"
            self.skip(part, part.name, f"{error.message}{unread}", "Narrow the window, or raise the limit.")
        except (RunbookError, OSError) as error:
            said = error.message if isinstance(error, RunbookError) else str(error.strerror or error)
            self.skip(part, part.name, said, "See whether the file is whole, and run the task again.")
        part.changed = file.change()

    def _framing(self, head: bytes, file: LogFile, part: Part, *, whole: bool) -> Framing | None:
        lines = head.split(b"\n")
        if not whole and len(lines) > 1:
            lines.pop()
        found: Recognised = recognise(
            [line for line in lines[:200] if line],
            zone_of(self.source, self.options),
            file.modified,
            layout_wanted(self.source),
        )
        part.layout = found.layout
        windowed = self.window.start is not None or self.window.end is not None
        if not found.framing.dated and windowed:
            part.way = "none"
            reason = "no line at its beginning has a timestamp of a known layout, so no window can be applied"
            remedy = "Set time_pattern and time_format of the source, or its timezone, or look without a window."
            self.skip(part, part.name, reason, remedy)
            return None
        return found.framing

    def _plain(self, file: LogFile, part: Part) -> None:
        head = os.pread(file.descriptor, _HEAD_BYTES, 0)
        framing = self._framing(head, file, part, whole=len(head) == file.size)
        if framing is None:
            return
        prober = Prober(file.descriptor, file.size, framing)
        if framing.dated:
            first = prober.at(0)
            part.oldest = first[1] if first else None
            last = self._last_moment(file, framing)
            part.newest = last
        found = Range(0, file.size, "scan", "it was asked for")
        if self.options["search"] == "auto":
            found = find_range(file.descriptor, file.size, framing, self.window.start, self.window.end)
        part.way, part.way_reason = found.way, found.reason

        def look_back(base: int) -> bytes:
            since = max(base - LOOK_BACK_BYTES, 0)
            data = os.pread(file.descriptor, base - since, since)
            return data if since == 0 else data[data.find(b"\n") + 1 :]

        def look_on(offset: int, amount: int) -> bytes:
            return os.pread(file.descriptor, amount, offset)

        self.scanner.begin(framing, look_back, look_on)
        self._read_range(file, part, found)

    def _read_range(self, file: LogFile, part: Part, found: Range) -> None:
        scanner, length = self.scanner, found.end - found.start
        if hits.is_worthwhile(length, scanner.literals):
            pairs = hits.blocks_with_hits(file.descriptor, found.start, found.end, scanner.literals, self.budget)
            for (base, data), positions in pairs:
                scanner.block(data, base, positions)
                part.read_bytes = base + len(data) - found.start
            part.read_bytes = length
            return
        chunks = blocks.plain_chunks(file.descriptor, found.start, found.end, self.budget)
        for base, data in blocks.whole_lines(chunks, found.start):
            scanner.block(data, base)
            part.read_bytes += len(data)

    def _last_moment(self, file: LogFile, framing: Framing) -> float | None:
        since = max(file.size - _HEAD_BYTES, 0)
        lines = os.pread(file.descriptor, file.size - since, since).split(b"\n")
        for line in reversed(lines[1:] if since else lines):
            moment = framing.decode(line)[1] if line else None
            if moment is not None:
                return moment
        return None

    def _packed(self, file: LogFile, part: Part) -> None:
        part.way_reason = "compressed files cannot be searched"
        chunks = blocks.unpacked_chunks(file.descriptor, part.compression or "", self.budget)
        # Closed here and not when it is collected: with it ends the program that unpacks.
        with contextlib.closing(chunks):
            self._stream(blocks.whole_lines(chunks), file, part)

    def _stream(self, stream: Iterator[blocks.Block], file: LogFile, part: Part) -> None:
        framing: Optional[Framing] = None
        for base, data in stream:
            if framing is None:
                framing = self._framing(data[:_HEAD_BYTES], file, part, whole=len(data) <= _HEAD_BYTES)
                if framing is None:
                    return
                self.scanner.begin(framing)
                part.oldest = _first_moment(data, framing)
            self.scanner.block(data, base)
            part.read_bytes += len(data)
            part.newest = self.scanner.last_moment

    def _program(self, kind: str, name: str, argv: list[str], framing: Framing) -> None:
        part = Part(self.source["name"], kind, name, way_reason=f"{argv[0]} gives the window", layout=kind)
        self.parts.append(part)
        tail = b""
        try:
            with Child(argv, merged=kind == "container") as child:
                self.scanner.begin(framing)
                chunks = blocks.child_chunks(child, self.budget)
                for base, data in blocks.whole_lines(chunks):
                    self.scanner.block(data, base)
                    part.oldest = _first_moment(data, framing) if part.oldest is None else part.oldest
                    part.read_bytes += len(data)
                    tail = data[-_LAST_WORDS_BYTES:]
                part.newest = self.scanner.last_moment
                words = child.words
            if kind == "journal":
                self._doubt(part, words)
        except LimitReached as error:
            self.skip(part, name, f"{error.message}, after {part.read_bytes} bytes", "Narrow the window.")
        except RunbookError as error:
            reason = error.message
            if part.oldest is None and part.read_bytes:
                # It came with the output and is no line of the log.
                part.read_bytes = 0
                reason = f"{reason}: {first_words(tail.decode('utf-8', 'replace'))}"
            self.skip(part, name, reason, f"Run {' '.join(argv)} on the machine and see what it says.")

    def _doubt(self, part: Part, words: str) -> None:
        """No entry means nothing where none can be read at all."""
        has_entries = part.read_bytes > 0 or bool(run(programs.any_entry_command(self.source)).strip())
        trouble = programs.journal_trouble(words, has_entries=has_entries)
        if trouble:
            self.skip(part, part.name, *trouble)


def _first_moment(data: bytes, framing: Framing) -> float | None:
    for line in data[:_HEAD_BYTES].split(b"\n"):
        moment = framing.decode(line)[1] if line else None
        if moment is not None:
            return moment
    return None
