"""The grammar of sudoers, with what a search of one file does not see."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.runbook.ops.plugins.module_utils.security.sudoers import Sudoers, read_sudoers


def parse(files: dict[str, str] | str) -> Sudoers:
    texts = {"/etc/sudoers": files} if isinstance(files, str) else files

    def names(directory: str) -> list[str]:
        return [path.rpartition("/")[2] for path in texts if path.rpartition("/")[0] == directory]

    return read_sudoers("/etc/sudoers", texts.get, names)


def rule(text: str) -> dict[str, Any]:
    found = parse(text)
    assert not found.errors, found.errors
    (only,) = found.rules
    return only.facts()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("root ALL=(ALL:ALL) ALL", {"who": ["root"], "run_as": ["ALL"], "is_everything": True, "nopasswd": False}),
        ("%sudo\tALL=(ALL:ALL) ALL", {"who": ["%sudo"], "is_everything": True}),
        ("kim ALL=(ALL) NOPASSWD: ALL", {"nopasswd": True, "is_everything": True}),
        ("kim ALL = NOPASSWD:ALL", {"nopasswd": True, "run_as": ["root"], "is_everything": True}),
        ("kim ALL=(postgres) NOPASSWD: ALL", {"run_as": ["postgres"], "is_everything": False, "nopasswd": True}),
        ("kim ALL=(:docker) /usr/bin/docker", {"run_as": ["self"], "shell_commands": ["/usr/bin/docker"]}),
        ("kim, lee web1, web2 = /usr/bin/id", {"who": ["kim", "lee"], "hosts": ["web1", "web2"]}),
        ("kim ALL=NOEXEC:SETENV: /usr/bin/less /var/log/x", {"commands": ["/usr/bin/less /var/log/x"]}),
        ("kim ALL=/usr/bin/vi /etc/hosts, /usr/bin/vim", {"shell_commands": ["/usr/bin/vim"]}),
        ("kim ALL=/usr/bin/systemctl restart app", {"shell_commands": []}),
        ("kim ALL=ALL, !/usr/bin/su", {"has_exclusions": True, "is_everything": True}),
        ("#1000 ALL=ALL # a comment", {"who": ["#1000"], "commands": ["ALL"]}),
        (r"kim ALL=/usr/bin/rsync -e ssh\:x, /bin/a\,b", {"commands": [r"/usr/bin/rsync -e ssh\:x", r"/bin/a\,b"]}),
        ("kim ALL=TIMEOUT=5m NOPASSWD: \\\n   /usr/bin/id", {"commands": ["/usr/bin/id"], "line": 1, "nopasswd": True}),
        ('"DOM\\kim" ALL=ALL', {"who": ["DOM\\kim"]}),
        ("kim ALL=sha256:abcdef /usr/bin/id", {"commands": ["sha256:abcdef /usr/bin/id"]}),
    ],
)
def test_one_rule(text: str, expected: dict[str, Any]) -> None:
    found = rule(text)
    assert {key: found[key] for key in expected} == expected


def test_tags_last_until_their_opposite() -> None:
    found = parse("kim ALL=NOPASSWD: /bin/a, /bin/b, PASSWD: /bin/c")
    assert [(each.commands, each.nopasswd) for each in found.rules] == [
        (("/bin/a", "/bin/b"), True),
        (("/bin/c",), False),
    ]


def test_aliases_are_resolved_wherever_they_stand() -> None:
    found = parse(
        "ADMINS ALL=(RUN) NOPASSWD: TOOLS\n"
        "User_Alias ADMINS = kim, %ops : OTHERS = lee\nRunas_Alias RUN=root\n"
        "Cmnd_Alias SHELLS = /bin/sh, /bin/bash\nCmnd_Alias TOOLS = SHELLS, /usr/bin/id\nHost_Alias X = 10.0.0.0/8\n"
    )
    (only,) = found.rules
    assert only.who == ("kim", "%ops")
    assert only.commands == ("/bin/sh", "/bin/bash", "/usr/bin/id")
    assert only.facts()["shell_commands"] == ["/bin/sh", "/bin/bash"]


def test_drop_ins_are_read_as_sudo_does_and_what_it_leaves_out_is_left_out() -> None:
    found = parse(
        {
            "/etc/sudoers": "#includedir /etc/sudoers.d\n@include extra\n@include /gone\n",
            "/etc/sudoers.d/90-deploy": "deploy ALL=(ALL) NOPASSWD:ALL\n",
            "/etc/sudoers.d/old.bak": "mallory ALL=(ALL) NOPASSWD:ALL\n",
            "/etc/sudoers.d/edit~": "mallory ALL=(ALL) NOPASSWD:ALL\n",
            "/etc/extra": "kim ALL=(root) ALL\n",
        }
    )
    assert [(each.who, each.path) for each in found.rules] == [
        (("deploy",), "/etc/sudoers.d/90-deploy"),
        (("kim",), "/etc/extra"),
    ]
    assert found.missing == ["/gone"]
    assert found.everything_users(lambda group: []) == ["deploy", "kim"]


def test_without_authentication_every_rule_is_nopasswd() -> None:
    assert rule("Defaults env_reset, !authenticate\nkim ALL=ALL")["nopasswd"] is True
    assert rule("Defaults:kim !authenticate\nlee ALL=ALL")["nopasswd"] is False


def test_what_is_not_understood_is_said() -> None:
    assert parse("nonsense\n").errors == [
        {"path": "/etc/sudoers", "line": 1, "reason": "this line is no rule that is understood"}
    ]
