# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The sections about who may come in: sshd, sudo, accounts, and who tried and failed."""

from __future__ import annotations

import contextlib
import datetime as dt
import os
import stat
import time
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Optional

from ansible_collections.runbook.ops.plugins.module_utils.common.durations import parse_seconds
from ansible_collections.runbook.ops.plugins.module_utils.logs.collect import measure
from ansible_collections.runbook.ops.plugins.module_utils.security.accounts import (
    DAY_SECONDS,
    EMPTY,
    LOCKED,
    WEAK_HASH,
    Account,
    groups_of_account,
    keys_of,
)
from ansible_collections.runbook.ops.plugins.module_utils.security.machine import (
    BECOME,
    Machine,
    expand,
    read_text,
)
from ansible_collections.runbook.ops.plugins.module_utils.security.modes import writable_by
from ansible_collections.runbook.ops.plugins.module_utils.security.skipping import Skipped
from ansible_collections.runbook.ops.plugins.module_utils.security.sshd import (
    Connection,
    connections,
    login_facts,
    match_lines,
    may_log_in,
    server_facts,
    settings_of,
)

_LOGS = ("/var/log/auth.log", "/var/log/secure")
_MAX_BYTES = 4 << 30
_KEY_FILES = (".ssh/authorized_keys", ".ssh/authorized_keys2")


def ssh(machine: Machine) -> dict[str, Any]:
    """The effective configuration of sshd, for everybody and for whom Match blocks are about."""
    path = machine.options["sshd_config"]
    usual = machine.run(["sshd", "-T", "-f", path])
    if usual.is_missing:
        raise Skipped("sshd is not installed", "Leave the section ssh out on hosts without sshd.")
    matches, files = match_lines(path, read_text, expand)
    able = [each.name for each in machine.accounts if each.has_login_shell and not each.is_system(machine.first_uid)]
    asked = connections(matches, machine.members, able)
    answers = [(each, machine.run(["sshd", "-T", "-f", path, "-C", each.argument])) for each in asked]
    good = [(each, settings_of(answer.out)) for each, answer in answers if answer.code == 0]
    if not good:
        failed = answers[0][1] if answers else usual
        raise Skipped(
            f"sshd -T failed: {failed.words}",
            "Correct what it says (sshd -t checks the files); reading host keys takes become.",
        )
    for each, answer in answers:
        if answer.code != 0:
            machine.gap("ssh.connections", f"{each.argument}: {answer.words}", "Correct what sshd -T says.")
    settings = settings_of(usual.out) if usual.code == 0 else good[0][1]
    everybody = login_facts(settings)
    return {
        "files": files,
        **server_facts(settings),
        **everybody,
        "match_blocks_count": len(matches),
        "connections": [_connection(each, settings, machine) for each, settings in good],
        "may_log_in": [name for name in able if may_log_in(name, groups_of_account(name, machine.groups), everybody)],
    }


def _connection(each: Connection, settings: dict[str, list[str]], machine: Machine) -> dict[str, Any]:
    facts = login_facts(settings)
    return {
        "user": each.user,
        "address": each.address,
        "match": each.match,
        "is_allowed": may_log_in(each.user, groups_of_account(each.user, machine.groups), facts, each.address),
        **{key: facts[key] for key in ("permit_root_login", "password_login", "permit_empty_passwords")},
        "root_password_login": each.user == "root" and facts["root_password_login"],
        "forced_command": (settings.get("forcecommand") or ["none"])[0] != "none",
    }


def sudo(machine: Machine) -> dict[str, Any]:
    """Rules of sudo, who may do everything, and files that are not safe."""
    found = machine.sudoers
    path = str(machine.options["sudoers_path"])
    if path in found.missing:
        if Path(path).exists() or os.geteuid() != 0:
            raise Skipped(f"{path} cannot be read", BECOME)
        raise Skipped("sudo is not installed", "Leave the section sudo out on hosts without sudo.")
    checked = machine.run(["visudo", "-c", "-f", path])
    if checked.code is None:
        machine.gap("sudo.is_valid", checked.words, "Install sudo, whose visudo checks the files.")
    rules = [rule.facts() for rule in found.rules]
    return {
        "files": found.files,
        "is_valid": None if checked.code is None else checked.code == 0,
        "invalid_reason": checked.words if checked.code else None,
        "errors": found.errors,
        "rules": rules,
        "nopasswd_count": sum(rule["nopasswd"] for rule in rules),
        "everything_users": found.everything_users(machine.members),
        "unsafe_files": [each for each in map(_unsafe, found.files) if each],
        "unsafe_commands": _unsafe_commands(rules),
    }


def _unsafe(path: str) -> Optional[dict[str, Any]]:
    status = Path(path).stat()
    reason = writable_by(status)
    return {"path": path, "mode": f"{stat.S_IMODE(status.st_mode):04o}", "reason": reason} if reason else None


def _unsafe_commands(rules: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Programs that a rule runs as root and that somebody else may replace."""
    found = {}
    for rule in rules:
        for command in rule["commands"]:
            program = command.split(" ")[0]
            for place in (program, os.path.dirname(program)):  # noqa: PTH120 - text, not a path yet
                if place.startswith("/") and "*" not in place and Path(place).exists():
                    reason = writable_by(Path(place).stat())
                    if reason:
                        found[place] = {"path": place, "reason": reason, "rule": f"{rule['path']}:{rule['line']}"}
    return list(found.values())


def accounts(machine: Machine) -> dict[str, Any]:
    """Accounts with their passwords' state and their keys."""
    if not machine.accounts:
        raise Skipped("/etc/passwd cannot be read", BECOME)
    if read_text("/etc/shadow") is None:
        machine.gap("accounts.password", "/etc/shadow cannot be read", BECOME)
    today = int(dt.datetime.now(dt.timezone.utc).timestamp() // DAY_SECONDS)
    first = machine.first_uid
    listed = [each.facts(today, first) for each in machine.accounts]
    known = read_text("/etc/shadow") is not None
    keys = [key for each in machine.accounts for key in _keys(each, machine)]
    return {
        "count": len(listed),
        "accounts": [each for each in listed if each["has_login_shell"] or each["password_state"] in ("empty", "set")],
        "root_uid": [each["name"] for each in listed if each["uid"] == 0 and each["name"] != "root"],
        "empty_passwords": [each["name"] for each in listed if each["password_state"] == EMPTY] if known else None,
        "weak_hashes": [each["name"] for each in listed if each["password_state"] == WEAK_HASH] if known else None,
        "system_shells": [each["name"] for each in listed if each["is_system"] and each["has_login_shell"]],
        "system_logins": _system_logins(listed, {key["account"] for key in keys}) if known else None,
        "expired": [each["name"] for each in listed if each["is_expired"] and each["has_login_shell"]],
        "keys": keys,
        "weak_keys_count": sum(key["is_weak"] for key in keys),
    }


def _system_logins(listed: Sequence[dict[str, Any]], with_keys: set[str]) -> list[str]:
    """System accounts into which somebody can really come: a shell, and a password or a key."""
    return [
        each["name"]
        for each in listed
        if each["is_system"]
        and each["has_login_shell"]
        and (each["password_state"] != LOCKED or each["name"] in with_keys)
    ]


def _keys(account: Account, machine: Machine) -> list[dict[str, Any]]:
    found = []
    for name in _KEY_FILES:
        path = Path(account.home or "/nonexistent") / name
        try:
            status = path.stat()
            text = path.read_text(encoding="utf-8", errors="replace")
        except PermissionError:
            machine.gap("accounts.keys", f"{path} cannot be read", BECOME)
            continue
        except OSError:
            continue
        loose = bool(status.st_mode & 0o022) or status.st_uid not in (0, account.uid)
        for key in keys_of(text):
            found.append({"account": account.name, "path": str(path), **key, "is_writable_by_others": loose})
    return found


def written_since(begin: float) -> list[str]:
    """The login logs that are written: one that was left behind by a logger that is gone holds no failure at all."""
    found = []
    for path in _LOGS:
        with contextlib.suppress(OSError):
            if Path(path).stat().st_mtime >= begin:
                found.append(path)
    return found


def failed_logins(machine: Machine) -> dict[str, Any]:
    """Failed logins of a while, from the file of the login log where one is written, else from the journal."""
    paths = written_since(time.time() - parse_seconds(machine.options["logins_since"], "logins_since"))
    # What is not named is nothing, for a text as for a list.
    source = defaultdict(list, name="logins", paths=paths[:1], rotated=True, docker_root="/var/lib/docker")
    if not paths:
        source.update(journal=True, identifiers=["sshd", "sshd-session", "su", "sudo", "login"])
    options: dict[str, Any] = defaultdict(
        list,
        sources=[source],
        since=machine.options["logins_since"],
        security=["failed_logins"],
        top=machine.options["top"],
        samples=0,
        slow_ms=1000.0,
        search="auto",
        max_bytes=_MAX_BYTES,
        timeout=float(machine.options["timeout"]),
    )
    told = measure(options, dt.datetime.now(dt.timezone.utc))
    for each in told["skipped_sections"]:
        machine.gap("logins", each["reason"], each["remedy"])
    (found,) = told["security"]
    return {
        "source": paths[0] if paths else "journal",
        "window_seconds": told["window_seconds"],
        **{key: found[key] for key in ("count", "found_count", "invalid_users_count", "addresses_count")},
        "by_address": found["by_address"],
        "by_user": found["by_user"],
        "truncated": found["truncated"],
    }
