# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who we are to a registry: named in the options, kept in Docker's configuration file, or known to a helper of Docker.

The file and the helpers' protocol are Docker's (https://docs.docker.com/reference/cli/docker/login/); Podman, Skopeo
and the pull secrets of Kubernetes use the same.
"""

from __future__ import annotations

import base64
import binascii
import json
import os
import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Optional

from ansible_collections.runbook.ops.plugins.module_utils.common.children import first_words
from ansible_collections.runbook.ops.plugins.module_utils.common.errors import InvalidOption
from ansible_collections.runbook.ops.plugins.module_utils.registry.reference import (
    DOCKER_HUB,
    HUB_LOGIN,
    Reference,
    parse_reference,
)

_HELPER = re.compile(r"^[A-Za-z0-9_.-]+$")
# A helper says so of a registry that it knows nothing of; that is no failure.
_NOT_FOUND = "credentials not found"
_HELPER_SECONDS = 60.0
# Helpers give this instead of a user for a token that has to be exchanged.
_TOKEN_USER = "<token>"  # noqa: S105 - the name of a user


@dataclass(frozen=True)
class Login:
    """A user with a password, a token to exchange for others (C(refresh_token)), or one that is sent as it is."""

    user: str = ""
    password: str = field(default="", repr=False)
    refresh_token: str = field(default="", repr=False)
    bearer: str = field(default="", repr=False)
    source: str = ""

    @property
    def basic(self) -> str:
        """The value of C(Authorization) for a user with a password."""
        return "Basic " + base64.b64encode(f"{self.user}:{self.password}".encode()).decode("ascii")

    @property
    def secrets(self) -> list[str]:
        """What nobody may see."""
        basic = self.basic.partition(" ")[2] if self.password else ""
        return [each for each in (self.password, self.refresh_token, self.bearer, basic) if each]


@dataclass(frozen=True)
class Trouble:
    """Why what is configured cannot be used; the registry is asked without a login."""

    section: str
    reason: str
    remedy: str


class Logins:
    """The logins by registry. A helper is asked once for each registry."""

    def __init__(self, given: Mapping[str, Login], configuration: Mapping[str, Any], path: str = "") -> None:
        self._given = given
        self._configuration = configuration
        self._path = path
        self._helped: dict[str, Optional[Login]] = {}
        self.troubles: list[Trouble] = []

    def of(self, reference: Reference) -> Optional[Login]:
        """The login for an image; None for none. Entries for a part of a registry win over those for all of it."""
        given = self._given.get(reference.registry)
        if given is not None:
            return given
        helper = self._helper(reference.registry)
        found = self._ask(helper, reference.registry) if helper else None
        return found or self._kept(reference)

    def _helper(self, registry: str) -> str:
        helpers = self._configuration.get("credHelpers")
        named = {_plain(key): str(value) for key, value in helpers.items()} if isinstance(helpers, dict) else {}
        own = named.get(registry) or (named.get(HUB_LOGIN) if registry == DOCKER_HUB else None)
        return own or str(self._configuration.get("credsStore") or "")

    def _kept(self, reference: Reference) -> Optional[Login]:
        auths = self._configuration.get("auths")
        entries = {_plain(key): value for key, value in auths.items()} if isinstance(auths, dict) else {}
        parts = reference.name.split("/")
        wanted = ["/".join(parts[:length]) for length in range(len(parts), 0, -1)]
        if reference.registry == DOCKER_HUB:
            wanted.append(HUB_LOGIN)
        for key in wanted:
            if isinstance(entries.get(key), dict):
                found = self._login(key, entries[key])
                if found is not None:
                    return found
        return None

    def _login(self, key: str, entry: Mapping[str, Any]) -> Optional[Login]:
        source = f"{self._path} ({key})"
        bearer, refresh = (str(entry.get(name) or "") for name in ("registrytoken", "identitytoken"))
        user, password = (str(entry.get(name) or "") for name in ("username", "password"))
        if entry.get("auth"):
            try:
                text = base64.b64decode(str(entry["auth"]), validate=True).decode()
            except (binascii.Error, UnicodeDecodeError):
                self._note(key, f"auth in {source} is not base64", f"Log in again: docker login {key}.")
                return None
            user, _colon, password = text.rstrip("\0").partition(":")
        if bearer or refresh or user:
            return Login(user, password, refresh, bearer, source)
        return None

    def _ask(self, helper: str, registry: str) -> Optional[Login]:
        if registry not in self._helped:
            self._helped[registry] = self._run(helper, registry)
        return self._helped[registry]

    def _run(self, helper: str, registry: str) -> Optional[Login]:
        name = f"docker-credential-{helper}"
        program = shutil.which(name) if _HELPER.match(helper) else None
        if program is None:
            self._note(
                registry, f"there is no program {name}, which {self._path} names", "Install it, or give credentials."
            )
            return None
        server = f"https://{HUB_LOGIN}/v1/" if registry == DOCKER_HUB else registry
        try:
            ended = subprocess.run(
                [program, "get"],
                input=server.encode(),
                capture_output=True,
                timeout=_HELPER_SECONDS,
                env={**os.environ, "LC_ALL": "C"},
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            why = (
                f"did not end within {_HELPER_SECONDS:g} s"
                if isinstance(error, subprocess.TimeoutExpired)
                else str(error)
            )
            self._note(registry, f"{name} {why}", f"Try it: echo {server} | {name} get, or give credentials.")
            return None
        output = ended.stdout.decode("utf-8", "replace")
        if ended.returncode:
            # What it says of a failure stands in its output; what it says of a success is the secret.
            if _NOT_FOUND not in output:
                said = first_words(output or ended.stderr.decode("utf-8", "replace"))
                self._note(
                    registry, f"{name} failed: {said}", f"Try it: echo {server} | {name} get, or give credentials."
                )
            return None
        return self._answer(name, registry, output)

    def _answer(self, name: str, registry: str, output: str) -> Optional[Login]:
        try:
            answer = json.loads(output)
            user, secret = str(answer["Username"]), str(answer["Secret"])
        except (ValueError, KeyError, TypeError):
            self._note(registry, f"{name} gave no credentials", "Correct the helper, or give credentials.")
            return None
        if user == _TOKEN_USER:
            return Login(refresh_token=secret, source=name)
        return Login(user, secret, source=name)

    def _note(self, registry: str, reason: str, remedy: str) -> None:
        trouble = Trouble(f"credentials of {registry}", reason, remedy)
        if trouble not in self.troubles:
            self.troubles.append(trouble)


def _plain(key: str) -> str:
    """The registry, or the part of it, that a key of the file means; Docker has written addresses there."""
    plain = re.sub(r"^https?://", "", key).rstrip("/")
    return re.sub(r"/v[12]$", "", plain)


def given_logins(credentials: Sequence[Mapping[str, Any]]) -> dict[str, Login]:
    """The logins in the options, by registry; raises InvalidOption."""
    found: dict[str, Login] = {}
    for each in credentials:
        registry = registry_name(each["registry"], "credentials[].registry")
        if registry in found:
            raise InvalidOption("credentials[].registry", each["registry"], "each registry once")
        user, password, token = (str(each.get(name) or "") for name in ("username", "password", "token"))
        if bool(user) == bool(token) or bool(user) != bool(password):
            accepted = "username and password, or token alone"
            raise InvalidOption("credentials", f"those of {registry}", accepted)
        found[registry] = Login(user, password, bearer=token, source="credentials")
    return found


def registry_name(text: str, option: str) -> str:
    """A registry by its host and port, as images name it; raises InvalidOption."""
    try:
        reference = parse_reference(f"{text}/name", option)
    except InvalidOption:
        reference = None
    if reference is None or "/" in text or (reference.registry == DOCKER_HUB and "." not in text):
        raise InvalidOption(
            option, text, "host and port as images name them, such as registry.example.com:5000 or docker.io"
        )
    return reference.registry


def read_configuration(path: Optional[str]) -> tuple[dict[str, Any], str]:
    """Docker's configuration file, and where it is; empty when there is none and none was named.

    Raises:
        InvalidOption: the file that was named cannot be read.

    """
    folder = os.environ.get("DOCKER_CONFIG") or "~/.docker"
    place = Path(path or f"{folder}/config.json").expanduser()
    accepted = "a file that docker login has written, in JSON"
    try:
        document = json.loads(place.read_text(encoding="utf-8"))
    except FileNotFoundError:
        if path:
            raise InvalidOption("docker_config", path, f"{accepted}; there is none") from None
        return {}, str(place)
    except OSError as error:
        raise InvalidOption("docker_config", str(place), f"{accepted} ({error.strerror or error})") from None
    except ValueError:
        raise InvalidOption("docker_config", str(place), f"{accepted}; this is not JSON") from None
    if not isinstance(document, dict):
        raise InvalidOption("docker_config", str(place), f"{accepted}; this is no JSON object")
    return document, str(place)
