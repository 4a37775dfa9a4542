# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where backups lie: a directory of the host, or a bucket. Listing and reading; nothing is ever written."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

from ansible_collections.runbook.ops.plugins.module_utils.backup.directory import DirectoryRepository
from ansible_collections.runbook.ops.plugins.module_utils.backup.model import Entry, Listing
from ansible_collections.runbook.ops.plugins.module_utils.backup.naming import NamingRule
from ansible_collections.runbook.ops.plugins.module_utils.backup.streams import Meter
from ansible_collections.runbook.ops.plugins.module_utils.common.errors import InvalidOption

_SCHEME = "s3://"
_ACCEPTED = "an absolute directory such as /var/backups/shop, or s3://bucket/prefix"


class Repository(Protocol):
    """What backups are read through."""

    kind: str
    location: str

    def listing(self, rule: NamingRule, max_entries: int, meter: Meter) -> Listing:
        """Everything in the repository, down to the depth that the naming rule looks at.

        Raises:
            Unavailable: it cannot be listed.

        """

    def open(
        self, entry: Entry, start: int = 0, length: int | None = None, member: str | None = None
    ) -> Iterator[bytes]:
        """The chunks of a file from a position on, or of a member of a directory; C(length) bytes, if given.

        Raises:
            Undecided: it cannot be read; says nothing about the backup.

        """


def open_repository(options: Mapping[str, Any]) -> Repository:
    """The repository that the option C(repository) names.

    Raises:
        InvalidOption: it names none.
        Unavailable: the credentials that were pointed to cannot be had.

    """
    bucket, rest = split_location(options["repository"])
    if bucket is not None:
        # Here, so that a directory on a database server does not wait for a library that it has no use for.
        from ansible_collections.runbook.ops.plugins.module_utils.backup.bucket import (  # noqa: PLC0415
            BucketRepository,
        )
        from ansible_collections.runbook.ops.plugins.module_utils.object_store.client import (  # noqa: PLC0415
            connect,
        )

        return BucketRepository(connect(options, connections=options.get("workers", 8)), bucket, rest)
    return DirectoryRepository(Path(rest))


def split_location(repository: object) -> tuple[str | None, str]:
    """The bucket and the prefix that an option C(repository) names, or None and the absolute path of a directory.

    Raises:
        InvalidOption: it names neither.

    """
    location = str(repository).strip()
    if location.startswith(_SCHEME):
        bucket, _slash, prefix = location[len(_SCHEME) :].partition("/")
        if not bucket:
            raise InvalidOption("repository", location, _ACCEPTED)
        return bucket, prefix
    path = os.path.expanduser(os.path.expandvars(location))  # noqa: PTH111  (Path would resolve ".." by text)
    if not os.path.isabs(path) or "://" in location:  # noqa: PTH117
        raise InvalidOption("repository", location, _ACCEPTED)
    return None, path
