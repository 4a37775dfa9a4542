# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Encrypting and decrypting artefacts as streams, by age (age-encryption.org) or GnuPG.

The writer needs public keys only. Whoever proves or restores a backup uses the recovery side's private key: what that
key cannot open is no backup, whatever the writer's machine could do.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Optional

from ansible_collections.runbook.ops.plugins.module_utils.backup.errors import Damaged, Undecided
from ansible_collections.runbook.ops.plugins.module_utils.common.children import (
    Child,
    ChildFailed,
    clean_environment,
    first_words,
)
from ansible_collections.runbook.ops.plugins.module_utils.common.errors import InvalidOption, RunbookError

AGE, GPG = "age", "gpg"
SUFFIXES = {AGE: ".age", GPG: ".gpg"}
_AGE_HEADS = (b"age-encryption.org/", b"-----BEGIN AGE ENCRYPTED FILE-----")
# age: "no identity matched any of the recipients"; gpg: "decryption failed: No secret key" (and "Bad session key" for
# a wrong passphrase).
_NO_KEY = ("no identity matched", "no secret key", "bad passphrase", "bad session key", "incorrect identity")


def encryption_argument_spec() -> dict[str, dict[str, Any]]:
    """The option of modules that write; the doc fragment C(backup_encryption) says the same."""
    return {
        "encryption": {
            "type": "dict",
            "options": {
                "method": {"type": "str", "required": True, "choices": [AGE, GPG]},
                "recipients": {"type": "list", "elements": "str", "default": []},
                "recipients_file": {"type": "path"},
                "gnupg_home": {"type": "path"},
            },
        }
    }


def decryption_argument_spec() -> dict[str, dict[str, Any]]:
    """The option of modules that prove or restore; the doc fragment C(backup_decryption) says the same."""
    return {
        "decryption": {
            "type": "dict",
            "options": {
                "identity_file": {"type": "path"},
                "gnupg_home": {"type": "path"},
                "passphrase": {"type": "str", "no_log": True},
            },
        }
    }


@dataclass(frozen=True)
class Encryption:
    """For whom artefacts are encrypted, and how."""

    method: str
    recipients: tuple[str, ...] = ()
    recipients_file: Optional[str] = None
    gnupg_home: Optional[str] = None

    def as_dict(self) -> dict[str, Any]:
        """For the manifest: public keys only."""
        return {"method": self.method, "recipients": list(self.recipients)}

    def argv(self) -> list[str]:
        """The program that encrypts standard input to standard output."""
        if self.method == AGE:
            files = ["-R", self.recipients_file] if self.recipients_file else []
            return [_program(AGE), "--encrypt", *files, *(part for each in self.recipients for part in ("-r", each))]
        options = ["--batch", "--no-tty", "--quiet", "--trust-model", "always", "--compress-algo", "none"]
        return [
            _program(GPG),
            *options,
            "--encrypt",
            *(part for each in self.recipients for part in ("--recipient", each)),
            *(["--recipient-file", self.recipients_file] if self.recipients_file else []),
        ]

    def environment(self) -> dict[str, str]:
        """What the program is told by its environment."""
        return clean_environment(**({"GNUPGHOME": self.gnupg_home} if self.gnupg_home else {}))


@dataclass(frozen=True)
class Decryption:
    """The recovery side's private keys: where they lie, and the passphrase of a GnuPG key, if it has one."""

    identity_file: Optional[str] = None
    gnupg_home: Optional[str] = None
    passphrase: Optional[str] = None


def encryption_from(params: Mapping[str, Any]) -> Encryption | None:
    """The option C(encryption), checked; None without it. Raises InvalidOption."""
    given = params.get("encryption")
    if not given:
        return None
    recipients = tuple(each.strip() for each in given["recipients"] or () if each.strip())
    file = given["recipients_file"] or None
    if not recipients and not file:
        raise InvalidOption("encryption.recipients", [], "at least one public key, or a recipients_file")
    if file and not Path(file).is_file():
        raise InvalidOption("encryption.recipients_file", file, "a file that exists on the host")
    for each in recipients:
        if given["method"] == AGE and not each.startswith(("age1", "ssh-")):
            raise InvalidOption("encryption.recipients", "(given)", "public keys of age (age1…) or SSH (ssh-ed25519 …)")
    return Encryption(given["method"], recipients, file, given["gnupg_home"] or None)


def decryption_from(params: Mapping[str, Any]) -> Decryption | None:
    """The option C(decryption), checked; None without it. Raises InvalidOption."""
    given = params.get("decryption")
    if not given:
        return None
    for name in ("identity_file", "gnupg_home"):
        if given[name] and not Path(given[name]).exists():
            raise InvalidOption(f"decryption.{name}", given[name], "something that exists on the host")
    return Decryption(given["identity_file"] or None, given["gnupg_home"] or None, given["passphrase"] or None)


def encrypted(chunks: Iterator[bytes], encryption: Encryption) -> Iterator[bytes]:
    """Pass a stream through the program that encrypts; raises ChildFailed, and what C(chunks) raises."""
    with Child(encryption.argv(), stdin=subprocess.PIPE, environment=encryption.environment()) as child:
        child.feed(chunks)
        yield from child.chunks()


def decrypted(chunks: Iterator[bytes], head: bytes, decryption: Decryption | None) -> Iterator[bytes]:
    """Pass an encrypted stream, which begins with C(head), through the program that decrypts.

    Raises:
        Undecided: there is no key here that opens it (then its details hold C(code) no_key), or no program. Says
            nothing about the backup.
        Damaged: the key fits and the data is not what was encrypted.

    """
    method = AGE if head.startswith(_AGE_HEADS) else GPG
    decryption = decryption or Decryption()
    if method == AGE and not decryption.identity_file:
        raise Undecided("it is encrypted by age, and no decryption.identity_file was given", code="no_key")
    try:
        program = _program(method)
    except RunbookError as error:
        raise Undecided(error.message) from None
    with contextlib.ExitStack() as stack:
        argv, environment, descriptors = _decrypting(method, program, decryption, stack)
        child = stack.enter_context(
            Child(argv, stdin=subprocess.PIPE, environment=environment, pass_fds=tuple(descriptors))
        )
        child.feed(chunks)
        try:
            yield from child.chunks()
        except ChildFailed as error:
            words = error.words.lower()
            said = first_words(error.words) or error.message
            if any(phrase in words for phrase in _NO_KEY):
                raise Undecided(f"the key at hand does not open it ({said})", code="no_key") from None
            raise Damaged(f"it cannot be decrypted: {said}") from None


def _decrypting(
    method: str, program: str, decryption: Decryption, stack: contextlib.ExitStack
) -> tuple[list[str], dict[str, str], list[int]]:
    if method == AGE:
        return [program, "--decrypt", "-i", str(decryption.identity_file)], clean_environment(), []
    environment = clean_environment(**({"GNUPGHOME": decryption.gnupg_home} if decryption.gnupg_home else {}))
    argv = [program, "--batch", "--no-tty", "--quiet", "--decrypt"]
    if not decryption.passphrase:
        return argv, environment, []
    reader, writer = os.pipe()
    stack.callback(os.close, reader)
    with os.fdopen(writer, "w", encoding="utf-8") as stream:
        stream.write(decryption.passphrase)
    return [*argv[:1], "--pinentry-mode", "loopback", "--passphrase-fd", str(reader), *argv[1:]], environment, [reader]


def _program(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        package = {"gpg": "gnupg"}.get(name, name)
        raise RunbookError(f"The host has no program {name}. Install {package}.")
    return found
