"""Keep what ansible-playbook packs and compiles from one run of a test to the next.

ansible-core packs a module with all it imports once a run and throws the package away with the run, and the machine's
Python compiles what it is sent once a call. A user does not feel it; thousands of short runs spend a quarter of their
time with it. A kept package holds the very files that ansible-core packed and, beside them, what this Python makes of
them; another Python passes that by.

Of a collection's own files its loader keeps no bytecode either: every process that a run forks compiles them again.
What is kept of them is known by their path and their text.
"""

from __future__ import annotations

DOCUMENTATION = """
name: kept_payloads
type: aggregate
short_description: Keep packed modules from one run to the next
description:
  - For tests only. E(RUNBOOK_LAB_PAYLOADS) names the directory in which packages of the collection's own modules and
    of ansible-core's are kept, and the bytecode of the collection's own files.
"""

import base64
import contextlib
import dataclasses
import hashlib
import importlib.util
import io
import marshal
import os
import pickle
import sys
import zipfile
from pathlib import Path
from types import CodeType
from typing import Any

from ansible import constants as C
from ansible.plugins.callback import CallbackBase
from ansible.release import __version__
from ansible.utils.collection_loader import _collection_finder

OWN = ("ansible_collections.runbook.ops.", "ansible.modules.")


class CallbackModule(CallbackBase):  # type: ignore[misc]  # Ansible carries no types.
    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "kept_payloads"

    def __init__(self) -> None:
        super().__init__()
        place = os.environ.get("RUNBOOK_LAB_PAYLOADS")
        # Packages of one release of ansible-core and of Python are not those of another.
        self.kept = Path(place, f"{__version__}-{sys.version_info[0]}.{sys.version_info[1]}") if place else None
        self.used = Path(C.DEFAULT_LOCAL_TMP, "ansiballz_cache")
        if self.kept:
            keep_code(self.kept / sys.implementation.cache_tag)

    def v2_playbook_on_start(self, playbook: Any) -> None:
        if self.kept and self.kept.is_dir():
            self.used.mkdir(exist_ok=True)
            for package in self.kept.glob("*-none"):
                (self.used / package.name).symlink_to(package)

    def v2_playbook_on_stats(self, stats: Any) -> None:
        if not self.kept or not self.used.is_dir():
            return
        self.kept.mkdir(parents=True, exist_ok=True)
        for package in self.used.glob("*-none"):
            if package.name.startswith(OWN) and not package.is_symlink() and not (self.kept / package.name).exists():
                # Whole or not at all: another worker's run may be looking for it just now.
                part = self.kept / f"{package.name}.{os.getpid()}"
                cached = pickle.loads(package.read_bytes())
                filled = base64.b64encode(compiled(base64.b64decode(cached.zip_data)))
                part.write_bytes(pickle.dumps(dataclasses.replace(cached, zip_data=filled)))
                part.rename(self.kept / package.name)


def keep_code(place: Path) -> None:
    """Let the loader of collections compile a file of ours once, and not once in every process."""
    place.mkdir(parents=True, exist_ok=True)
    loader = _collection_finder._AnsibleCollectionPkgLoaderBase
    usual = loader.get_code

    def get_code(self: Any, fullname: str) -> CodeType | None:
        if self._compiled_code is None and fullname.startswith(OWN[0]):
            source, path = self.get_source(fullname), self.get_filename(fullname)
            if source and path:
                text = source if isinstance(source, bytes) else source.encode()
                self._compiled_code = kept_code(place, text, str(path))
        code: CodeType | None = usual(self, fullname)
        return code

    loader.get_code = get_code


def kept_code(place: Path, text: bytes, path: str) -> CodeType:
    """The bytecode of a text, made at its first use."""
    kept = place / hashlib.sha256(path.encode() + b"\0" + text).hexdigest()
    try:
        code: CodeType = marshal.loads(kept.read_bytes())
    except OSError:
        code = compile(text, path, "exec", dont_inherit=True)
        # Whole or not at all, as above; without a place for it the run goes on.
        part = kept.with_name(f"{kept.name}.{os.getpid()}")
        with contextlib.suppress(OSError):
            part.write_bytes(marshal.dumps(code))
            part.rename(kept)
    return code


def compiled(package: bytes) -> bytes:
    """The package with the bytecode of its files beside them, as C(zipimport) looks for it."""
    filled = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(package)) as source, zipfile.ZipFile(filled, "w", zipfile.ZIP_DEFLATED) as target:
        for name in source.namelist():
            text = source.read(name)
            target.writestr(source.getinfo(name), text, zipfile.ZIP_DEFLATED)
            if name.endswith(".py"):
                code = compile(text, name, "exec", dont_inherit=True)
                # The format of PEP 552, not to be compared with its source.
                head = importlib.util.MAGIC_NUMBER + (1).to_bytes(4, "little") + importlib.util.source_hash(text)
                target.writestr(f"{name}c", head + marshal.dumps(code))
    return filled.getvalue()
