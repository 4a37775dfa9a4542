# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What registries say about images: there, missing, or not known; by which digest, and for which platforms."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Optional

from ansible_collections.runbook.ops.plugins.module_utils.common.errors import InvalidOption
from ansible_collections.runbook.ops.plugins.module_utils.http.client import Response
from ansible_collections.runbook.ops.plugins.module_utils.http.options import settings_from
from ansible_collections.runbook.ops.plugins.module_utils.registry.answers import (
    Entry,
    Manifest,
    Unreadable,
    check_digest,
    parse_configuration,
    parse_manifest,
    parse_refusal,
)
from ansible_collections.runbook.ops.plugins.module_utils.registry.client import NotKnown, Registries
from ansible_collections.runbook.ops.plugins.module_utils.registry.credentials import (
    Logins,
    given_logins,
    read_configuration,
    registry_name,
)
from ansible_collections.runbook.ops.plugins.module_utils.registry.platforms import Platform, parse_platform
from ansible_collections.runbook.ops.plugins.module_utils.registry.reference import Reference, parse_reference

# Codes of the specification, and those that Harbor and others use instead.
_NO_NAME = ("NAME_UNKNOWN", "REPOSITORY_UNKNOWN")
_NO_MANIFEST = ("MANIFEST_UNKNOWN", "NOT_FOUND", "BLOB_UNKNOWN", "TAG_UNKNOWN")
_PUSH = "Look at the registry's log, or push the image again."
# Entries of an index that do not say for which platform they are; each is two requests.
_MOST_NAMELESS = 8
_FOUND_NOTHING: dict[str, Any] = {
    "available": True,
    "exists": None,
    "missing": None,
    "reason": None,
    "digest": None,
    "reference": None,
    "media_type": None,
    "platforms": [],
    "missing_platforms": None,
    "created": None,
}


class _Missing(Exception):
    """The registry says that it is not there: its C(name), C(tag) or C(digest)."""

    def __init__(self, what: str) -> None:
        super().__init__(what)
        self.what = what


def measure(params: Mapping[str, Any]) -> dict[str, Any]:
    """Everything C(registry_image_info) returns about the images in its options; raises InvalidOption."""
    references = {text: parse_reference(text) for text in params["images"]}
    if not references:
        raise InvalidOption("images", [], "at least one image")
    wanted = [parse_platform(text) for text in params["platforms"]]
    patience = float(params["retry_seconds"])
    if not 0 <= patience <= 600:
        raise InvalidOption("retry_seconds", params["retry_seconds"], "seconds from 0 to 600")
    insecure = frozenset(registry_name(each, "insecure_registries") for each in params["insecure_registries"])
    logins = Logins(given_logins(params["credentials"]), *read_configuration(params["docker_config"]))
    settings = settings_from(params)
    with Registries(settings, logins, insecure=insecure, patience=patience) as registries:
        looked = [{"image": text, **_look(registries, each, wanted)} for text, each in references.items()]
        count = registries.requests_count
    return _summary(looked, logins, count)


def _summary(looked: Sequence[dict[str, Any]], logins: Logins, requests_count: int) -> dict[str, Any]:
    skipped = [{"section": each.section, "reason": each.reason, "remedy": each.remedy} for each in logins.troubles]
    for each in looked:
        remedy = each.pop("remedy")
        if each["exists"] is None or remedy:
            skipped.append({"section": each["image"], "reason": each["reason"], "remedy": remedy})
    available = any(each["available"] for each in looked)
    verdicts = {each["exists"] for each in looked}
    return {
        "available": available,
        "reason": None if available else looked[0]["reason"],
        "skipped_sections": skipped,
        "all_exist": False if False in verdicts else None if None in verdicts else True,
        "images": list(looked),
        "requests_count": requests_count,
    }


def _look(registries: Registries, reference: Reference, wanted: Sequence[Platform]) -> dict[str, Any]:
    known = {
        "registry": reference.registry,
        "repository": reference.repository,
        "tag": reference.tag,
        **_FOUND_NOTHING,
        "remedy": "",
    }
    try:
        response = _fetch(registries, reference, reference.wanted)
        digest = check_digest(response.body, reference.digest, response.headers.get("docker-content-digest"))
        manifest = parse_manifest(response.body, response.headers.get("content-type", ""), digest)
    except _Missing as missing:
        return {**known, "exists": False, "missing": missing.what, "reason": _no_such(reference, missing.what)}
    except NotKnown as error:
        return {**known, "available": error.answered, "reason": error.message, "remedy": error.remedy}
    except Unreadable as error:
        return {**known, "reason": str(error), "remedy": _PUSH}
    found = {**known, "exists": True, "digest": digest, "reference": reference.pinned(digest)}
    found["media_type"] = manifest.media_type
    return {**found, **_platforms(registries, reference, manifest, wanted)}


def _no_such(reference: Reference, what: str) -> str:
    if what == "name":
        return f"{reference.registry} has no repository {reference.repository}"
    if what == "digest":
        return f"{reference.name} has no image with the digest {reference.digest}"
    return f"{reference.name} has no tag {reference.tag}"


def _fetch(registries: Registries, reference: Reference, wanted: str) -> Response:
    """A manifest; raises _Missing or NotKnown for everything else that is answered."""
    response = registries.manifest(reference, wanted)
    refusal = parse_refusal(response.body)
    if response.status == 404 and set(refusal.codes) & {*_NO_NAME, *_NO_MANIFEST}:
        is_nameless = set(refusal.codes) & set(_NO_NAME) or _has_no_name(registries, reference)
        raise _Missing("name" if is_nameless else "digest" if reference.digest else "tag")
    _check(registries, reference, response)
    return response


def _has_no_name(registries: Registries, reference: Reference) -> bool:
    """Whether there is no such repository at all; most registries say so only when they are asked for its tags."""
    try:
        response = registries.tags(reference)
    except NotKnown:
        return False
    return response.status == 404 and bool(set(parse_refusal(response.body).codes) & set(_NO_NAME))


def _check(registries: Registries, reference: Reference, response: Response) -> None:
    """Raise NotKnown for what is no answer."""
    if response.status == 200 and not response.is_truncated:
        return
    refusal = parse_refusal(response.body)
    said = registries.clean(refusal.said)
    if response.status in (401, 403):
        raise registries.no_entry(reference, said or f"status {response.status}")
    if response.is_truncated:
        raise NotKnown(f"what {reference.registry} sends is no manifest: it is too large", _PUSH, answered=True)
    if response.not_followed:
        said = response.not_followed
    if refusal.codes or response.status >= 500:
        reason = f"{reference.registry} does not tell (status {response.status}{said and f', {said}'})"
        raise NotKnown(reason, "Look at the registry's log, and ask again.", answered=True)
    reason = f"what answers at {reference.host} is no registry (status {response.status}{said and f', {said}'})"
    raise NotKnown(reason, "Correct the name of the image, or what the name of the registry leads to.", answered=False)


# --- platforms
class _Looked:
    """One entry of an index, read as far as is needed; C(exists) is None where nobody has looked."""

    def __init__(self, entry: Entry, exists: Optional[bool]) -> None:
        self.platform, self.told, self.exists = entry.platform, entry, exists
        self.trouble: Optional[tuple[str, str]] = None

    def read(self, registries: Registries, reference: Reference, *, is_index: bool) -> None:
        """Ask for its manifest and its configuration."""
        try:
            self.platform, self.told = _read(registries, reference, self.told, is_index=is_index)
            self.exists = True
        except _Missing:
            self.exists = False
        except NotKnown as error:
            self.trouble = (error.message, error.remedy)
        except Unreadable as error:
            self.trouble = (str(error), _PUSH)


def _platforms(
    registries: Registries, reference: Reference, manifest: Manifest, wanted: Sequence[Platform]
) -> dict[str, Any]:
    """The platforms of an image, read as far as is needed to know them, or to prove those that are wanted."""
    looked = [_Looked(entry, None if manifest.is_index else True) for entry in manifest.entries]
    nameless = [each for each in looked if each.platform is None][:_MOST_NAMELESS]
    for each in looked:
        platform = each.platform
        if each in nameless or (platform is not None and any(one.runs(platform) for one in wanted)):
            each.read(registries, reference, is_index=manifest.is_index)
    there = [each.platform for each in looked if each.platform is not None and each.exists is not False]
    missing = [each.shown for each in wanted if not any(each.runs(its) for its in there)]
    trouble = next((each.trouble for each in looked if each.trouble), None)
    moments = [each.told.created for each in looked if each.told.created]
    return {
        "platforms": [_shown(each) for each in looked],
        "missing_platforms": None if trouble and wanted else missing,
        "created": manifest.created or max(moments, default=None),
        "reason": trouble[0] if trouble else _what_is_wrong(manifest, looked, there, missing),
        "remedy": trouble[1] if trouble else "",
    }


def _what_is_wrong(
    manifest: Manifest, looked: Sequence[_Looked], there: Sequence[Platform], missing: Sequence[str]
) -> Optional[str]:
    if manifest.artifact:
        return f"it is no image that runs, but {manifest.artifact}"
    gone = [each.platform.shown if each.platform else "one platform" for each in looked if each.exists is False]
    if gone:
        return f"the registry no longer has what the image consists of for {', '.join(gone)}"
    if missing:
        made_for = ", ".join(each.shown for each in there) or "nothing that is known"
        return f"it is made for {made_for}, and not for {', '.join(missing)}"
    return None


def _read(
    registries: Registries, reference: Reference, entry: Entry, *, is_index: bool
) -> tuple[Optional[Platform], Entry]:
    """The manifest of one platform, where an index only names it, and its configuration."""
    known = entry
    if is_index:
        response = _fetch(registries, reference, entry.digest)
        check_digest(response.body, entry.digest, None)
        manifest = parse_manifest(response.body, response.headers.get("content-type", ""), entry.digest)
        if not manifest.entries:
            return None, entry
        known = manifest.entries[0]
    if known.configuration is None:
        return entry.platform, known
    response = registries.blob(reference, known.configuration)
    if response.status == 404:
        raise _Missing("digest")
    _check(registries, reference, response)
    check_digest(response.body, known.configuration, None)
    platform, version, created = parse_configuration(response.body)
    told = Entry(
        entry.digest,
        platform,
        entry.os_version or version,
        known.configuration,
        known.size_bytes,
        created or known.created,
    )
    return entry.platform or platform, told


def _shown(looked: _Looked) -> dict[str, Any]:
    platform, told = looked.platform, looked.told
    return {
        "platform": platform.shown if platform else None,
        "os": platform.os if platform else None,
        "architecture": platform.architecture if platform else None,
        "variant": (platform.variant or None) if platform else None,
        "os_version": told.os_version,
        "digest": told.digest,
        "exists": looked.exists,
        "size_bytes": told.size_bytes,
        "created": told.created,
    }
