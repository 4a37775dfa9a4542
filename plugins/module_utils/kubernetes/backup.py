# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From the options of k8s_backup to its result: read, guard, write, read again, publish."""

from __future__ import annotations

import contextlib
import datetime as dt
import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Optional

from ansible.module_utils.basic import missing_required_lib

from ansible_collections.runbook.ops.plugins.module_utils.backup.depot import Depot, Stored, open_depot
from ansible_collections.runbook.ops.plugins.module_utils.backup.encryption import (
    Encryption,
    encrypted,
    encryption_argument_spec,
    encryption_from,
)
from ansible_collections.runbook.ops.plugins.module_utils.backup.errors import Undecided
from ansible_collections.runbook.ops.plugins.module_utils.backup.naming import (
    MANIFEST_SUFFIX,
    NamingRule,
    zone,
)
from ansible_collections.runbook.ops.plugins.module_utils.backup.pending import noted, sweep
from ansible_collections.runbook.ops.plugins.module_utils.backup.published import entry_names, published_names
from ansible_collections.runbook.ops.plugins.module_utils.backup.repository import Repository, open_repository
from ansible_collections.runbook.ops.plugins.module_utils.backup.verdict import Verification
from ansible_collections.runbook.ops.plugins.module_utils.common.clock import (
    is_young,
    iso,
    parse_moment,
    reference_moment,
    utc_now,
)
from ansible_collections.runbook.ops.plugins.module_utils.common.durations import parse_seconds
from ansible_collections.runbook.ops.plugins.module_utils.common.errors import (
    InvalidOption,
    MissingLibrary,
    RunbookError,
)
from ansible_collections.runbook.ops.plugins.module_utils.common.files import explained
from ansible_collections.runbook.ops.plugins.module_utils.common.guards import check_guards, window_refusal
from ansible_collections.runbook.ops.plugins.module_utils.common.outcome import Refused, outcome
from ansible_collections.runbook.ops.plugins.module_utils.common.progress import Progress
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.client import Cluster, connect
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.export import (
    DEFAULT_KINDS,
    check_kinds,
    export_of,
)
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.manifest import (
    KEEP,
    OMIT,
    manifests_of,
    shown,
)
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.plain_secrets import plain_secrets
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.references import keys_of
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.yaml_text import IMPORT_ERROR, dumped, loaded

KIND, FORMAT = "kubernetes", 1
REFUSE = "refuse"
_SHOWN_PLACES = 5
Document = dict[str, Any]


def backup_argument_spec() -> dict[str, dict[str, Any]]:
    """The options of k8s_backup beside connection and guards."""
    return {
        **encryption_argument_spec(),
        "namespaces": {"type": "list", "elements": "str", "required": True},
        "kinds": {"type": "list", "elements": "str", "default": list(DEFAULT_KINDS)},
        "custom_resources": {"type": "list", "elements": "str", "default": []},
        "repository": {"type": "path", "required": True},
        "name_pattern": {"type": "str", "required": True},
        "plain_secrets": {"type": "str", "default": REFUSE, "choices": [REFUSE, "keep"], "no_log": False},
        "max_age": {"type": "str"},
    }


def take_backup(params: Mapping[str, Any], *, check_mode: bool) -> dict[str, Any]:
    """The module's result; raises RunbookError."""
    check_guards(params)
    run = _run_from(params, check_mode)
    if IMPORT_ERROR is not None:
        raise MissingLibrary(missing_required_lib("PyYAML"), exception=IMPORT_ERROR)
    progress = Progress(params["progress_path"])
    with progress.stoppable():
        return run.run(progress)


def _run_from(params: Mapping[str, Any], check_mode: bool) -> _Run:
    if not params["namespaces"]:
        raise InvalidOption("namespaces", [], "at least one namespace")
    if not Path(params["repository"]).is_absolute():
        raise InvalidOption("repository", params["repository"], "an absolute directory")
    check_kinds(params["kinds"])
    rule = NamingRule(params["name_pattern"], zone(params["timezone"]))
    encryption = encryption_from(params)
    return _Run(
        cluster=connect(params),
        params=params,
        check_mode=check_mode,
        rule=rule,
        encryption=encryption,
        depot=open_depot(params),
        repository=open_repository(params),
    )


@dataclass
class _Run:
    cluster: Cluster
    params: Mapping[str, Any]
    check_mode: bool
    rule: NamingRule
    encryption: Optional[Encryption]
    depot: Depot
    repository: Repository
    notes: list[str] = field(default_factory=list)

    def run(self, progress: Progress) -> dict[str, Any]:
        now = reference_moment(self.params["reference_time"])
        last = self._newest()
        if last and self.params["max_age"]:
            most = parse_seconds(self.params["max_age"], "max_age")
            if is_young(parse_moment(last["taken_at"]), now, most):
                return self._result(False, [], last, last)
        if refusal := window_refusal(self.params):
            raise Refused(f"No backup was taken: {refusal[0]}. {refusal[1]}", changed=False)
        taken_at = utc_now()
        progress.phase("export", self.cluster.name)
        namespaces = list(dict.fromkeys(self.params["namespaces"]))
        export = export_of(self.cluster, namespaces, self.params["kinds"], self.params["custom_resources"])
        manifests, skipped = manifests_of(export.documents, secrets=KEEP if self.encryption else OMIT)
        self._name_keys(export.documents, skipped)
        self._guard(manifests)
        entry = self._entry(manifests, namespaces, iso(taken_at))
        name = self._free_name(now)
        has_secrets = any(each["kind"] == "Secret" for each in export.documents)
        kept = ("included" if self.encryption else "left_out") if has_secrets else "none"
        told: dict[str, Any] = {"secrets": kept, "left_out": skipped, "skipped_sections": export.skipped_sections}
        actions = self._actions(manifests, name)
        if self.check_mode:
            return self._result(True, actions, last, None, **told)
        progress.phase("write", self.depot.address(name))
        with explained("create", Path(self.params["repository"])):
            self.depot.prepare()
        with self.depot.lock(f"backing up to {self.params['repository']}"):
            sweep(self.depot, self.repository, self.rule)
            stored = self._write(name, manifests, entry)
        facts = {
            "name": name,
            "address": self.depot.address(name),
            "manifest": self.depot.address(name + MANIFEST_SUFFIX),
        }
        backup = {**facts, **entry, "bytes": stored.bytes, "sha256": stored.sha256}
        return self._result(True, actions, last, self._newest(), backup=backup, **told)

    def _free_name(self, now: dt.datetime) -> str:
        name = self.rule.name(now)
        if self.depot.stat(name) is not None:
            raise Refused(
                f"{self.depot.address(name)} is there already. Nothing was written. Give name_pattern a finer"
                " directive, such as %H%M%S.",
                changed=False,
            )
        return name

    def _name_keys(self, documents: Sequence[Document], skipped: list[dict[str, Any]]) -> None:
        """Of Secrets that are left out, the names of the keys, so that somebody can make them again."""
        keys = {shown(each): sorted(keys_of(each)) for each in documents if each["kind"] == "Secret"}
        for entry in skipped:
            entry["keys"] = keys.get(entry["object"], [])

    def _guard(self, manifests: Sequence[Document]) -> None:
        found = [place for manifest in manifests for place in plain_secrets(manifest)]
        if not found or self.encryption:
            return
        more = f", and {len(found) - _SHOWN_PLACES} more" if len(found) > _SHOWN_PLACES else ""
        places = "; ".join(found[:_SHOWN_PLACES]) + more
        if self.params["plain_secrets"] == REFUSE:
            raise Refused(
                f"No backup was taken: these look like secrets in plain text and would lie in it: {places}. Encrypt it"
                " (encryption), or move them to a Secret. If they are none, plain_secrets=keep takes them along.",
                changed=False,
                plain_secrets=found,
            )
        self.notes.append(f"Taken along in plain text, as plain_secrets=keep says: {places}.")

    def _entry(self, manifests: Sequence[Document], namespaces: list[str], taken_at: str) -> Document:
        try:
            version = self.cluster.get("/version").get("gitVersion")
        except RunbookError as error:
            version = None
            self.notes.append(f"The version of the cluster is unknown: {error.message}")
        return {
            "taken_at": taken_at,
            "cluster": self.cluster.name,
            "version": version,
            "namespaces": namespaces,
            "objects": len(manifests),
            "kinds": dict(sorted(Counter(each["kind"] for each in manifests).items())),
            "encryption": self.encryption.as_dict() if self.encryption else None,
        }

    def _actions(self, manifests: Sequence[Document], name: str) -> list[dict[str, Any]]:
        address = self.depot.address(name)
        count = len(manifests)
        actions = [{"action": "export", "object": self.cluster.name, "reason": f"{count} objects as manifests"}]
        if self.encryption:
            actions.append({"action": "encrypt", "object": address, "reason": f"by {self.encryption.method}"})
        return [*actions, {"action": "publish", "object": address, "reason": "with its manifest"}]

    def _write(self, name: str, manifests: Sequence[Document], entry: Document) -> Stored:
        text = "".join(dumped(each) for each in manifests)
        seen = Verification(("exists", "read"))
        data = text.encode()
        if loaded(text) != list(manifests):
            raise RunbookError("What was written does not read as the cluster's objects. Nothing was published.")
        entry["content_sha256"] = hashlib.sha256(data).hexdigest()
        with noted(self.depot, name):
            chunks: Iterator[bytes] = iter([data])
            with self.depot.create(name) as sink:
                for chunk in encrypted(chunks, self.encryption) if self.encryption else chunks:
                    sink.write(chunk)
                stored = sink.commit()
            there = hashlib.sha256()
            for chunk in self.depot.open(name):
                there.update(chunk)
            if there.hexdigest() != stored.sha256:
                raise RunbookError(f"{self.depot.address(name)} does not read as it was written. Look at the disk.")
            seen.passed("exists")
            if self.encryption:
                seen.undecided("read", "it was read before it was encrypted; who has the private key can prove more")
            else:
                seen.passed("read", f"{len(manifests)} objects, each as the cluster has it")
            entry["verification"] = seen.as_dict()
            told = {
                "format": FORMAT,
                "kind": KIND,
                **entry,
                "name": name,
                "bytes": stored.bytes,
                "sha256": stored.sha256,
            }
            self.depot.put(name + MANIFEST_SUFFIX, (json.dumps(told, indent=2) + "\n").encode("ascii"))
        return stored

    def _newest(self) -> Optional[Document]:
        for name in published_names(entry_names(self.repository, self.rule), self.rule):
            with contextlib.suppress(Undecided, ValueError, KeyError, TypeError):
                entry = json.loads(self.depot.get(name + MANIFEST_SUFFIX) or b"")
                stat = self.depot.stat(name)
                if entry["kind"] == KIND and stat is not None and stat.bytes == entry["bytes"]:
                    return {
                        "name": name,
                        "path": self.depot.address(name),
                        "taken_at": entry["taken_at"],
                        "bytes": entry["bytes"],
                        "verdict": entry["verification"]["verdict"],
                    }
        return None

    def _result(
        self,
        changed: bool,
        actions: list[dict[str, Any]],
        before: Optional[Document],
        after: Optional[Document],
        *,
        backup: Optional[Document] = None,
        **told: Any,
    ) -> dict[str, Any]:
        planned = changed and backup is None
        return outcome(
            changed=changed,
            actions=actions,
            before=before or _NONE,
            after=None if planned else after or _NONE,
            backup=backup,
            **{"secrets": None, "left_out": [], "skipped_sections": [], **told},
            notes=self.notes,
            diff={"before": _line(before), "after": "a new backup\n" if planned else _line(after)},
        )


_NONE: Mapping[str, Any] = {"name": None, "path": None, "taken_at": None, "bytes": None, "verdict": None}


def _line(backup: Optional[Document]) -> str:
    return f"{backup['path']} ({backup['taken_at']})\n" if backup else "no backup\n"
