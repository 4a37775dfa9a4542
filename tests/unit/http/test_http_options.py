"""The options of the HTTP modules: what is secret, what is refused, and that the documentation says the same."""

from __future__ import annotations

import importlib
from typing import Any

import pytest
import yaml

from ansible_collections.runbook.ops.plugins.module_utils.common.errors import InvalidOption
from ansible_collections.runbook.ops.plugins.module_utils.http.options import (
    Settings,
    hidden_values,
    http_argument_spec,
    settings_from,
)
from ansible_collections.runbook.ops.plugins.module_utils.loki.options import loki_argument_spec
from ansible_collections.runbook.ops.plugins.module_utils.prometheus.options import prometheus_argument_spec

PLUGINS = "ansible_collections.runbook.ops.plugins"


def settings(**given: Any) -> Settings:
    return settings_from({"validate_certs": True, "use_proxy": True, "timeout": 10, **given})


def fragment(name: str) -> dict[str, Any]:
    module = importlib.import_module(f"{PLUGINS}.doc_fragments.{name}")
    return yaml.safe_load(module.ModuleDocFragment.DOCUMENTATION)["options"]


def interface(option: dict[str, Any]) -> dict[str, Any]:
    return {key: option[key] for key in ("type", "default", "required", "choices", "elements") if key in option}


@pytest.mark.parametrize(
    ("names", "spec"),
    [
        (("http_client",), http_argument_spec()),
        (("http_client", "prometheus"), prometheus_argument_spec()),
        (("http_client", "loki"), loki_argument_spec()),
    ],
)
def test_fragments_and_argument_specs_agree(names: tuple[str, ...], spec: dict[str, Any]) -> None:
    documented = {name: option for each in names for name, option in fragment(each).items()}
    assert {name: interface(option) for name, option in documented.items()} == {
        name: interface(option) for name, option in spec.items()
    }


@pytest.mark.parametrize("name", ["http_probe_info", "prometheus_query_info", "loki_query_info"])
def test_module_documentation_and_argument_spec_agree(name: str) -> None:
    module = importlib.import_module(f"{PLUGINS}.modules.{name}")
    options = yaml.safe_load(module.DOCUMENTATION)["options"]
    spec = module.argument_spec()
    connection = set(fragment("http_client")) | set(fragment("prometheus")) | set(fragment("loki"))
    assert set(options) == set(spec) - connection

    def compare(documented: dict[str, Any], specified: dict[str, Any]) -> None:
        for option, described in documented.items():
            assert interface(described) == interface(specified[option]), option
            if "suboptions" in described:
                assert set(described["suboptions"]) == set(specified[option]["options"])
                compare(described["suboptions"], specified[option]["options"])

    compare(options, spec)


@pytest.mark.parametrize("environment", ["PROMETHEUS", "LOKI"])
def test_secrets_may_come_from_the_environment(environment: str) -> None:
    spec = http_argument_spec(environment)
    assert spec["bearer_token"]["fallback"][1] == [f"{environment}_BEARER_TOKEN"]
    assert all(spec[name]["no_log"] for name in ("bearer_token", "url_password", "headers"))


@pytest.mark.parametrize(
    ("given", "authorization"),
    [
        ({}, None),
        ({"bearer_token": "", "url_username": "", "url_password": ""}, None),
        ({"bearer_token": "abc"}, "Bearer abc"),
        ({"url_username": "me", "url_password": "p\u00e4ss:/@%"}, "Basic bWU6cMOkc3M6L0Al"),
        ({"url_username": "me"}, "Basic bWU6"),
    ],
)
def test_authorization(given: dict[str, Any], authorization: str | None) -> None:
    made = settings(**given)
    assert made.authorization == authorization
    assert "abc" not in repr(made)
    assert "p\u00e4ss" not in repr(made)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            {"bearer_token": "t0k", "url_username": "me"},
            "bearer_token: 'together with url_username' is not accepted. Accepted: one way to log in, not two.",
        ),
        (
            {"url_password": "hunter2"},
            "url_password: 'without url_username' is not accepted. Accepted: both of them, or none.",
        ),
        ({"timeout": 0}, "timeout: 0 is not accepted. Accepted: seconds above 0 and up to 600."),
        ({"timeout": 601}, "timeout: 601 is not accepted. Accepted: seconds above 0 and up to 600."),
        ({"timeout": float("nan")}, "timeout: nan is not accepted. Accepted: seconds above 0 and up to 600."),
        (
            {"bearer_token": "two\nlines"},
            "bearer_token: 'the value of Authorization' is not accepted. Accepted: text of one line without control "
            "characters, in Latin-1.",
        ),
        (
            {"headers": {"X Key": "v"}},
            "headers: 'X Key' is not accepted. Accepted: names of header fields as in HTTP, such as X-Api-Key.",
        ),
        (
            {"headers": {"X-Key": "\uac80\uc218"}},
            "headers: 'the value of X-Key' is not accepted. Accepted: text of one line without control characters, "
            "in Latin-1.",
        ),
        (
            {"headers": {"authorization": "x"}, "bearer_token": "y"},
            "headers: 'Authorization' is not accepted. Accepted: no Authorization beside bearer_token or url_username.",
        ),
    ],
)
def test_refusals_repeat_no_secret(given: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidOption) as caught:
        settings(**given)
    assert caught.value.message == message


def test_what_ansible_hides() -> None:
    params = {
        "bearer_token": "t0ken",
        "headers": {"Accept": "application/json", "X-Api-Key": "k3y", "X-Short": "1"},
        "base_url": "https://h",
        "probes": [
            {"headers": {"Cookie": "sid=9"}, "path": "/x?token=fromurl", "query": {"api_key": "q+y", "page": 1}},
            {"url": "https://h/?sig=abc%2Fd"},
        ],
    }
    # As Ansible collects them: every value of every secret option.
    known = {"t0ken", "application/json", "k3y", "1", "sid=9"}
    assert hidden_values(known, params) == {"t0ken", "k3y", "sid=9", "fromurl", "q+y", "q%2By", "abc%2Fd", "abc/d"}
