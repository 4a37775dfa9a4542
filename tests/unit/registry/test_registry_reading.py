"""Names of images, platforms, challenges and answers of registries: what is read, and what is refused."""

from __future__ import annotations

import base64
import datetime as dt
import importlib
import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from ansible_collections.runbook.ops.plugins.module_utils.common.errors import InvalidOption
from ansible_collections.runbook.ops.plugins.module_utils.registry.answers import (
    Unreadable,
    check_digest,
    digest_like,
    parse_challenges,
    parse_manifest,
    parse_refusal,
)
from ansible_collections.runbook.ops.plugins.module_utils.registry.client import retry_after
from ansible_collections.runbook.ops.plugins.module_utils.registry.credentials import (
    Logins,
    given_logins,
    read_configuration,
    registry_name,
)
from ansible_collections.runbook.ops.plugins.module_utils.registry.platforms import parse_platform
from ansible_collections.runbook.ops.plugins.module_utils.registry.reference import parse_reference

HEX = "0123456789abcdef" * 4
DIGEST = f"sha256:{HEX}"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"


@pytest.mark.parametrize(
    ("text", "host", "name", "tag", "digest"),
    [
        ("nginx", "registry-1.docker.io", "docker.io/library/nginx", "latest", None),
        ("nginx:1.27", "registry-1.docker.io", "docker.io/library/nginx", "1.27", None),
        ("grafana/grafana:11", "registry-1.docker.io", "docker.io/grafana/grafana", "11", None),
        ("docker.io/nginx", "registry-1.docker.io", "docker.io/library/nginx", "latest", None),
        ("index.docker.io/a/b:1", "registry-1.docker.io", "docker.io/a/b", "1", None),
        ("localhost/web:1", "localhost", "localhost/web", "1", None),
        ("localhost:5000/web", "localhost:5000", "localhost:5000/web", "latest", None),
        ("r.example.com/shop/web:1_4-x", "r.example.com", "r.example.com/shop/web", "1_4-x", None),
        ("[::1]:5000/a/web:1", "[::1]:5000", "[::1]:5000/a/web", "1", None),
        ("Registry/web:1", "Registry", "Registry/web", "1", None),
        (f"r.example.com/web@{DIGEST}", "r.example.com", "r.example.com/web", None, DIGEST),
        (f"r.example.com:5000/web:1.4@{DIGEST}", "r.example.com:5000", "r.example.com:5000/web", "1.4", DIGEST),
    ],
)
def test_names_are_completed_as_docker_does(
    text: str, host: str, name: str, tag: str | None, digest: str | None
) -> None:
    found = parse_reference(text)
    assert (found.host, found.name, found.tag, found.digest) == (host, name, tag, digest)
    assert found.wanted == (digest or tag)
    assert found.pinned(DIGEST) == f"{name}@{DIGEST}"


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("", "in lower case"),
        ("shop/Web:1", "in lower case"),
        ("shop//web", "in lower case"),
        ("web:", "a tag has up to 128"),
        (f"web:{'x' * 129}", "a tag has up to 128"),
        ("web@sha256:123", "a digest is sha256 with 64"),
        (f"web@md5:{HEX[:32]}", "a digest is sha256 with 64"),
        ("https://r.example.com/web", "is no host with a port"),
        ("r.example.com:port/web", "is no host with a port"),
        (HEX, "the id of an image"),
        ("r.example.com/" + "a" * 256, "in lower case"),
    ],
)
def test_what_is_no_name(text: str, part: str) -> None:
    with pytest.raises(InvalidOption) as caught:
        parse_reference(text)
    assert caught.value.message.startswith(f"images: {text!r} is not accepted. Accepted: ")
    assert part in caught.value.message


@pytest.mark.parametrize(
    ("node", "image", "runs"),
    [
        ("linux/amd64", "linux/amd64", True),
        ("linux/x86_64", "linux/amd64/v1", True),
        ("linux/amd64", "linux/amd64/v3", False),
        ("linux/amd64/v3", "linux/amd64", True),
        ("linux/arm64", "linux/arm64/v8", True),
        ("linux/aarch64", "linux/arm64", True),
        ("linux/arm", "linux/arm/v6", True),
        ("linux/arm/v7", "linux/arm/v6", True),
        ("linux/arm/v6", "linux/arm/v7", False),
        ("linux/arm/7", "linux/arm/v7", True),
        ("linux/amd64", "windows/amd64", False),
        ("linux/amd64", "linux/arm64", False),
    ],
)
def test_which_platform_runs_what(node: str, image: str, runs: bool) -> None:
    assert parse_platform(node).runs(parse_platform(image)) is runs


def test_what_is_no_platform() -> None:
    for text in ("amd64", "linux/", "a/b/c/d", "linux/amd 64"):
        with pytest.raises(InvalidOption, match="os/architecture, such as linux/amd64"):
            parse_platform(text)


@pytest.mark.parametrize(
    ("header", "found"),
    [
        ("", []),
        ('Basic realm="a, b=c"', [("basic", {"realm": "a, b=c"})]),
        (
            'Bearer realm="https://t.example.com/token",service="r",scope="repository:a/b:pull,push"',
            [("bearer", {"realm": "https://t.example.com/token", "service": "r", "scope": "repository:a/b:pull,push"})],
        ),
        (
            'Negotiate, BASIC realm="x", Bearer realm=y , error="insufficient \\"scope\\""',
            [
                ("negotiate", {}),
                ("basic", {"realm": "x"}),
                ("bearer", {"realm": "y", "error": 'insufficient "scope"'}),
            ],
        ),
    ],
)
def test_ways_to_log_in(header: str, found: list[tuple[str, dict[str, str]]]) -> None:
    assert [(each.scheme, dict(each.parameters)) for each in parse_challenges(header)] == found


def test_when_to_come_back() -> None:
    now = dt.datetime(2026, 1, 31, 0, 15, tzinfo=dt.timezone.utc)
    table = {None: None, "7": 7.0, " 7 ": 7.0, "soon": None, "Sat, 31 Jan 2026 00:16:00 GMT": 60.0}
    assert {text: retry_after(text, now) for text in table} == table
    assert retry_after("Sat, 31 Jan 2026 00:00:00 GMT", now) == 0.0


def test_a_digest_is_computed() -> None:
    body = b"{}"
    digest, strong = digest_like("sha256:", body), digest_like("sha512:", body)
    assert (
        check_digest(body, None, digest) == check_digest(body, None, None) == check_digest(body, None, strong) == digest
    )
    assert check_digest(body, strong, digest) == strong
    for wanted, told, words in (
        (DIGEST, None, "was asked for"),
        (None, DIGEST, "its header says"),
        (digest, DIGEST, "header"),
    ):
        with pytest.raises(Unreadable, match=words):
            check_digest(body, wanted, told)


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ([], "no JSON object"),
        ({"mediaType": "application/vnd.docker.distribution.manifest.v1+prettyjws"}, "current engines do not run"),
        ({"mediaType": MANIFEST}, "names no configuration"),
        ({"mediaType": MANIFEST, "config": {"digest": "sha256:x"}}, "names no configuration"),
        ({"mediaType": INDEX, "manifests": {}}, "is no list"),
        ({"mediaType": INDEX, "manifests": [{"mediaType": MANIFEST}]}, "has no digest"),
    ],
)
def test_what_is_no_manifest(document: Any, words: str) -> None:
    with pytest.raises(Unreadable, match=words):
        parse_manifest(json.dumps(document).encode(), "", DIGEST)


def test_manifests() -> None:
    """Entries of an index that engines do not choose are none; charts are there and do not run."""
    entry = {"mediaType": MANIFEST, "digest": DIGEST}
    beside = {"vnd.docker.reference.type": "attestation-manifest"}
    arm = {"os": "linux", "architecture": "arm64", "variant": "v8"}
    entries = [
        {**entry, "platform": arm},
        {**entry, "platform": arm, "annotations": beside},
        {**entry, "platform": {"os": "unknown", "architecture": "unknown"}},
        {**entry, "mediaType": INDEX, "platform": arm},
        entry,
    ]
    # OCI's index need not say what it is.
    index = parse_manifest(json.dumps({"manifests": entries}).encode(), f"{INDEX}; charset=utf-8", DIGEST)
    assert [each.platform and each.platform.shown for each in index.entries] == ["linux/arm64", None]
    helm = {"mediaType": "application/vnd.cncf.helm.config.v1+json", "digest": DIGEST, "size": 1}
    chart = parse_manifest(json.dumps({"mediaType": MANIFEST, "config": helm}).encode(), "", DIGEST)
    assert (chart.entries, chart.artifact) == ((), "application/vnd.cncf.helm.config.v1+json")
    image = {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": DIGEST, "size": 7}
    layers: list[dict[str, Any]] = [{"size": 5}, {"size": None}]
    for count, size in ((0, 7), (1, 12), (2, None)):
        document = {"mediaType": MANIFEST, "config": image, "layers": layers[:count]}
        assert parse_manifest(json.dumps(document).encode(), "", DIGEST).entries[0].size_bytes == size


def test_refusals() -> None:
    body = {"errors": [{"code": "MANIFEST_UNKNOWN", "message": "no\n such  tag"}, {"code": "X"}, 7]}
    found = parse_refusal(json.dumps(body).encode())
    assert (found.codes, found.said) == (("MANIFEST_UNKNOWN", "X"), "no such tag; X")
    for text in (b"<html>", b"[]", b'{"errors": 7}', b""):
        assert parse_refusal(text).codes == ()


def test_logins(tmp_path: Path) -> None:
    """The nearest entry of Docker's file; what cannot be read is named."""

    def auth(user: str) -> dict[str, str]:
        return {"auth": base64.b64encode(f"{user}:p:w".encode()).decode()}

    auths = {
        "https://index.docker.io/v1/": auth("hub"),
        "r.example.com": auth("all"),
        "r.example.com/shop": auth("shop"),
        "broken.example.com": {"auth": "%%%"},
        "plain.example.com": {"username": "plain", "password": "x"},
        "empty.example.com": {},
    }
    path = tmp_path / "config.json"
    path.write_text(json.dumps({"auths": auths}))
    logins = Logins(
        given_logins([{"registry": "own.example.com", "username": "me", "password": "x"}]),
        *read_configuration(str(path)),
    )
    names = {
        "nginx": "hub",
        "r.example.com/web": "all",
        "r.example.com/shop/web": "shop",
        "r.example.com/shopping/web": "all",
        "plain.example.com/web": "plain",
        "own.example.com/web": "me",
        "broken.example.com/web": None,
        "empty.example.com/web": None,
        "other.example.com/web": None,
    }
    found = {name: logins.of(parse_reference(name)) for name in names}
    assert {name: login and login.user for name, login in found.items()} == names
    shop = found["r.example.com/shop/web"]
    assert shop is not None and shop.password == "p:w" and "p:w" not in repr(shop)
    assert [each.section for each in logins.troubles] == ["credentials of broken.example.com"]


def test_options_that_are_refused(tmp_path: Path) -> None:
    for name in ("nginx", "r.example.com/web", "https://r.example.com", ""):
        with pytest.raises(InvalidOption, match="host and port as images name them"):
            registry_name(name, "insecure_registries")
    host = {"registry": "r.example.com"}
    for given in ({}, {"username": "u"}, {"password": "s3cret"}, {"username": "u", "password": "s3cret", "token": "t"}):
        with pytest.raises(InvalidOption, match="username and password, or token alone") as caught:
            given_logins([{**host, **given}])
        assert "s3cret" not in caught.value.message
    with pytest.raises(InvalidOption, match="each registry once"):
        given_logins([{**host, "token": "t"}] * 2)
    for text in ("[]", "{"):
        (tmp_path / "config.json").write_text(text)
        with pytest.raises(InvalidOption, match=r"docker_config: .* is not accepted"):
            read_configuration(str(tmp_path / "config.json"))


def test_documentation_and_argument_spec_agree() -> None:
    module = importlib.import_module("ansible_collections.runbook.ops.plugins.modules.registry_image_info")
    options, spec = yaml.safe_load(module.DOCUMENTATION)["options"], module.argument_spec()

    def interface(option: dict[str, Any]) -> dict[str, Any]:
        return {key: option[key] for key in ("type", "default", "required", "elements") if key in option}

    def compare(documented: dict[str, Any], specified: dict[str, Any]) -> None:
        assert {name: interface(each) for name, each in documented.items()} == {
            name: interface(each) for name, each in specified.items()
        }
        for name, option in documented.items():
            compare(option.get("suboptions", {}), specified[name].get("options", {}))

    compare(options, spec)
