"""The console's connection options exist once: argument spec, doc fragment, action group and modules agree."""

from __future__ import annotations

import importlib
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from ansible_collections.runbook.ops.plugins.doc_fragments.pgbouncer import ModuleDocFragment
from ansible_collections.runbook.ops.plugins.module_utils.pgbouncer.errors import describe_console_refusal
from ansible_collections.runbook.ops.plugins.module_utils.pgbouncer.options import pgbouncer_argument_spec
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.options import postgresql_argument_spec

REPOSITORY = Path(__file__).resolve().parents[3]
GROUP: list[str] = yaml.safe_load((REPOSITORY / "meta" / "runtime.yml").read_text(encoding="utf-8"))["action_groups"][
    "pgbouncer"
]
DOCUMENTED: dict[str, Any] = yaml.safe_load(ModuleDocFragment.DOCUMENTATION)["options"]


def test_spec_and_fragment_agree() -> None:
    spec = pgbouncer_argument_spec()
    assert list(DOCUMENTED) == list(spec) == [name for name in postgresql_argument_spec() if name != "login_db"]
    for name, documented in DOCUMENTED.items():
        for key in ("type", "default", "choices", "required"):
            assert spec[name].get(key) == documented.get(key), f"{name}.{key}"
        named = re.findall(r"E\((\w+)\)", " ".join(documented["description"]))
        assert named == spec[name].get("fallback", (None, []))[1], name
    assert spec["login_password"]["no_log"] is True


@pytest.mark.parametrize("name", GROUP)
def test_modules_take_the_connection_from_the_fragment(name: str) -> None:
    module = importlib.import_module(f"ansible_collections.runbook.ops.plugins.modules.{name}")
    documentation = yaml.safe_load(module.DOCUMENTATION)
    assert "runbook.ops.pgbouncer" in documentation["extends_documentation_fragment"]
    assert not set(documentation["options"]) & set(DOCUMENTED), "documented twice"
    assert set(documentation["options"]) | set(DOCUMENTED) == set(module.argument_spec())


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("FATAL:  not allowed", "may not use the console. Add it to stats_users"),
        ("FATAL:  SASL authentication failed", "the user or its password was not accepted"),
        ("FATAL:  password authentication failed", "the user or its password was not accepted"),
        ("FATAL:  no such user: stats", "the user or its password was not accepted"),
        ('FATAL:  database "pgbouncer" does not exist', "what answers there has no console"),
        ("FATAL:  no more connections allowed (max_client_conn)", "Raise max_client_conn"),
        ("FATAL:  unsupported startup parameter: options", "Unset PGOPTIONS"),
        ("ERROR:  pooler is shut down", "Try again when it has been started"),
        ("connection failed: Connection refused", "PgBouncer at db:6432 is not available"),
    ],
)
def test_a_refusal_names_the_next_step(said: str, told: str) -> None:
    text = describe_console_refusal(said, server="db:6432", user="stats", database="pgbouncer")
    assert told in text
    assert "PgBouncer at db:6432 is not available to user 'stats'" in text
    assert "PostgreSQL at" not in text
