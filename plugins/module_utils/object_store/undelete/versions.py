# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Requests about single versions: what is the latest one, remove a delete marker, copy an older one over it."""

from __future__ import annotations

from typing import Any, NamedTuple, Optional

from ansible_collections.runbook.ops.plugins.module_utils.object_store.client import Store
from ansible_collections.runbook.ops.plugins.module_utils.object_store.errors import StoreError
from ansible_collections.runbook.ops.plugins.module_utils.object_store.undelete.history import NULL, History, single

# Metadata of a copy. An ETag does not tell that the content is the same: it depends on parts and on encryption.
COPY_OF = "runbook-copy-of"
# What belongs to an object and has to be said again when its metadata is.
_HEADERS = (
    "CacheControl",
    "ContentDisposition",
    "ContentEncoding",
    "ContentLanguage",
    "ContentType",
    "Expires",
    "WebsiteRedirectLocation",
    "ServerSideEncryption",
    "SSEKMSKeyId",
)


class Latest(NamedTuple):
    """The latest entry of a key, as the store describes it at this moment."""

    version_id: str
    is_marker: bool
    copy_of: Optional[str] = None


def exact_history(store: Store, bucket: str, key: str) -> History:
    """The entries of one key in the store's own order."""
    return single(key, store.version_pages(bucket, key, page_size=1))


def latest(store: Store, bucket: str, key: str) -> Latest | None:
    """The latest entry of a key; None when it has none.

    One small request: a store answers 404 for a deleted object and says in the headers which marker hides it.
    """
    try:
        answer = store.request("head_object", bucket, "look at an object", Key=key)
    except StoreError as error:
        if error.headers.get("x-amz-delete-marker") == "true":
            return Latest(error.headers.get("x-amz-version-id") or NULL, True)
        if not error.is_missing:
            raise
        # Not every store tells of markers.
        entries = exact_history(store, bucket, key).entries
        return Latest(entries[0].version_id, entries[0].is_marker) if entries else None
    return Latest(answer.get("VersionId") or NULL, False, answer.get("Metadata", {}).get(COPY_OF))


def remove_marker(store: Store, bucket: str, key: str, version_id: str) -> None:
    """Delete a version that the caller has just seen to be a delete marker."""
    store.request("delete_object", bucket, "remove a delete marker", Key=key, VersionId=version_id)


def copy_version(store: Store, bucket: str, key: str, version_id: str) -> str | None:
    """Copy a version over the latest of its key, with its metadata and tags; the id of the new version."""
    source = store.request("head_object", bucket, "look at a version", Key=key, VersionId=version_id)
    kept: dict[str, Any] = {name: source[name] for name in _HEADERS if source.get(name)}
    answer = store.request(
        "copy_object",
        bucket,
        "copy a version",
        Key=key,
        CopySource={"Bucket": bucket, "Key": key, "VersionId": version_id},
        MetadataDirective="REPLACE",
        TaggingDirective="COPY",
        Metadata={**source.get("Metadata", {}), COPY_OF: version_id},
        StorageClass=source.get("StorageClass") or "STANDARD",
        **kept,
    )
    made: str | None = answer.get("VersionId")
    return made
