# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Lists each kind once, for the namespaces that are wanted, and remembers what could not be listed and why."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Optional

from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.client import Cluster
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.errors import ClusterError
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.kinds import KINDS

Documents = list[dict[str, Any]]
# Many pods come in few requests; the server is content with that for one who asks once in a while.
PAGE = 2000
# So many objects of other namespaces may be read to get at those of several by one listing.
MOST_OTHERS = 3 * PAGE


class Asking:
    """One look at a cluster.

    Without namespaces all are looked at. One is asked for itself; several are asked for at once, by one listing of the
    whole cluster, and one by one where that is not allowed, or where the cluster has very much else.
    """

    def __init__(self, cluster: Cluster, namespaces: Sequence[str]) -> None:
        self._cluster = cluster
        self.namespaces = tuple(dict.fromkeys(namespaces))
        self.skipped: list[dict[str, Any]] = []
        self.truncated: list[str] = []
        self.answered = False
        # Why nothing more is asked: the server is gone.
        self.broken: Optional[ClusterError] = None
        # The whole cluster has so much else that its listing costs more than those of the namespaces.
        self._is_crowded = False
        self._known: dict[tuple[str, Optional[str]], Optional[Documents]] = {}

    def list(
        self, kind: str, section: str, *, limit: Optional[int] = None, field_selector: Optional[str] = None
    ) -> Optional[Documents]:
        """All objects of a kind; None where they cannot be listed, which is then among C(skipped).

        Args:
            kind: A key of C(KINDS).
            section: The facts that come from it.
            limit: How many at most; what was left out is among C(truncated).
            field_selector: Which ones.

        """
        key = (kind, field_selector)
        if key not in self._known:
            self._known[key] = self._tried(kind, section, limit, field_selector)
        return self._known[key]

    def find(
        self, kind: str, namespace: Optional[str], name: str, section: str
    ) -> tuple[bool, Optional[dict[str, Any]]]:
        """Whether one could ask, and one object."""
        if self.broken is not None:
            self.skip(section, self.broken)
            return False, None
        try:
            found = self._cluster.find(kind, namespace, name)
        except ClusterError as error:
            self.skip(section, error)
            return False, None
        self.answered = True
        return True, found

    def get(self, path: str, section: str) -> Optional[dict[str, Any]]:
        """What is at a path; None where it cannot be had."""
        if self.broken is not None:
            self.skip(section, self.broken)
            return None
        try:
            found = self._cluster.get(path)
        except ClusterError as error:
            self.skip(section, error)
            return None
        self.answered = True
        return found

    def skip(self, section: str, error: ClusterError) -> None:
        """Remember that a section could not be read."""
        reason, dot, remedy = error.message.partition(". ")
        told = {"section": section, "reason": reason if dot else error.message, "remedy": remedy}
        self.skipped.append({**told, "is_absent": False, "is_partial": False})
        if error.is_cluster_wide:
            self.broken = error

    def _tried(
        self, kind: str, section: str, limit: Optional[int], field_selector: Optional[str]
    ) -> Optional[Documents]:
        if self.broken is not None:
            self.skip(section, self.broken)
            return None
        try:
            found = self._listed(kind, limit, field_selector)
        except ClusterError as error:
            self.skip(section, error)
            return None
        self.answered = True
        if limit is not None and len(found) > limit:
            self.truncated.append(kind)
            found = found[:limit]
        return found

    def _listed(self, kind: str, limit: Optional[int], field_selector: Optional[str]) -> Documents:
        def pages(namespace: Optional[str]) -> Iterator[dict[str, Any]]:
            size = PAGE if limit is None else min(PAGE, limit + 1)
            return self._cluster.list(kind, namespace, field_selector=field_selector, page_size=size)

        most = None if limit is None else limit + 1
        if not KINDS[kind].namespaced or not self.namespaces:
            return list(itertools.islice(pages(None), most))
        if len(self.namespaces) == 1:
            return list(itertools.islice(pages(self.namespaces[0]), most))
        if self._is_crowded:
            return self._one_by_one(pages, most)
        try:
            wanted = set(self.namespaces)
            found = list(itertools.islice(self._only(wanted, pages(None)), most))
            if not self._is_crowded:
                return found
        except ClusterError as error:
            if error.kind != "forbidden":
                raise
        return self._one_by_one(pages, most)

    def _one_by_one(self, pages: Callable[[str], Iterator[dict[str, Any]]], most: Optional[int]) -> Documents:
        each_one = itertools.chain.from_iterable(pages(namespace) for namespace in self.namespaces)
        return list(itertools.islice(each_one, most))

    def _only(self, wanted: set[str], found: Iterator[dict[str, Any]]) -> Iterator[dict[str, Any]]:
        """Those of the namespaces; ends early where most are others'."""
        others = 0
        for each in found:
            if each["metadata"].get("namespace") in wanted:
                yield each
                continue
            others += 1
            if others > MOST_OTHERS:
                self._is_crowded = True
                return
