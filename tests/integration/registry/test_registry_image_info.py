"""registry_image_info against a registry of Debian's: what is there, what is missing, and what nobody can know.

The other tools are curl with sha256, and Docker's client, which asks the same questions in its own way.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from lab.certificates import Certificate, make_certificate
from lab.http_stub import HttpStub, Reply
from lab.kubernetes.module_runs import defaults_of
from lab.play import ansible_playbook
from lab.ports import free_port
from lab.registry import (
    DOCKER_MANIFEST,
    INDEX,
    MANIFEST,
    PASSWORD,
    USER,
    RegistryServer,
    TokenServer,
    login_file,
)

from ansible_collections.runbook.ops.plugins.module_utils.common.errors import InvalidOption
from ansible_collections.runbook.ops.plugins.module_utils.registry.images import measure
from ansible_collections.runbook.ops.plugins.modules import registry_image_info

pytestmark = pytest.mark.xdist_group("registry")

CONFIGURATION_FOLDER = "DOCKER_CONFIG"


@pytest.fixture(scope="module")
def registry() -> Iterator[RegistryServer]:
    """Without a login and without TLS."""
    with RegistryServer() as server:
        yield server


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return make_certificate(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(autouse=True)
def _no_logins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever runs the tests may have logins."""
    monkeypatch.setenv(CONFIGURATION_FOLDER, str(tmp_path / "nowhere"))


def ask(*images: str, **options: Any) -> dict[str, Any]:
    return measure({**defaults_of(registry_image_info), "images": list(images), **options})


def ask_plain(registry: RegistryServer, *images: str, **options: Any) -> dict[str, Any]:
    names = [f"{registry.name}/{each}" for each in images]
    return ask(*names, insecure_registries=[registry.name], **options)


def curl(*arguments: str) -> bytes:
    command = ["curl", "-s", "--noproxy", "*", "--max-time", "300", *arguments]
    return subprocess.run(command, capture_output=True, check=True, timeout=300).stdout


def docker_manifest(image: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """What Docker's client says of an image; no engine is asked."""
    command = ["docker", "manifest", "inspect", "--insecure", image]
    environment = {**os.environ, CONFIGURATION_FOLDER: str(folder)}
    return subprocess.run(command, capture_output=True, text=True, timeout=300, check=False, env=environment)


def test_what_is_there_and_what_is_missing(registry: RegistryServer, tmp_path: Path) -> None:
    """Digest, platforms and size as curl and docker see them; a name, a tag and a digest that are not there."""
    registry.push_index("shop/web", ["linux/amd64", "linux/arm64/v8", "linux/arm/v7"], "1.4")
    worker, size = registry.push_image("shop/worker", "linux/arm64", "2", docker=True)
    absent = f"shop/web@sha256:{'0' * 64}"
    mark = registry.log.stat().st_size
    found = ask_plain(
        registry,
        *("shop/web:1.4", "shop/worker:2", "shop/web:9", "shop/nobody:1", absent, f"shop/worker:9@{worker}"),
        platforms=["linux/amd64", "linux/arm64"],
    )
    asked_in = registry.log.read_bytes()[mark:].decode()
    web, other, tag, name, digest, both = found["images"]
    body = curl("-H", f"Accept: {INDEX}", f"{registry.url}/v2/shop/web/manifests/1.4")
    assert web["digest"] == f"sha256:{hashlib.sha256(body).hexdigest()}"
    assert (web["exists"], web["media_type"], web["missing_platforms"], web["reason"]) == (True, INDEX, [], None)
    assert web["reference"] == f"{registry.name}/shop/web@{web['digest']}"
    seen = json.loads(docker_manifest(web["reference"], tmp_path).stdout)["manifests"]
    theirs = {each["digest"]: each["platform"] for each in seen if each["platform"]["os"] != "unknown"}
    ours = {each["digest"]: each["platform"] for each in web["platforms"]}
    assert set(ours) == set(theirs)
    # The usual variant is none; what was not wanted was not read.
    assert [(each["platform"], each["exists"]) for each in web["platforms"]] == [
        ("linux/amd64", True),
        ("linux/arm64", True),
        ("linux/arm/v7", None),
    ]
    manifest = json.loads(curl("-H", f"Accept: {DOCKER_MANIFEST}", f"{registry.url}/v2/shop/worker/manifests/2"))
    fetched = sum(each["size"] for each in [manifest["config"], *manifest["layers"]])
    assert (other["digest"], other["media_type"], other["created"]) == (worker, DOCKER_MANIFEST, "2026-01-31T00:15:00Z")
    assert [each["size_bytes"] for each in other["platforms"]] == [fetched] == [size]
    assert other["missing_platforms"] == ["linux/amd64"]
    assert other["reason"] == "it is made for linux/arm64, and not for linux/amd64"
    told = [(each["exists"], each["missing"], each["reason"]) for each in (tag, name, digest)]
    assert told == [
        (False, "tag", f"{registry.name}/shop/web has no tag 9"),
        (False, "name", f"{registry.name} has no repository shop/nobody"),
        (False, "digest", f"{registry.name}/shop/web has no image with the digest sha256:{'0' * 64}"),
    ]
    # Engines look at the digest alone, whatever the tag beside it says.
    assert (both["exists"], both["tag"], both["digest"]) == (True, "9", worker)
    assert docker_manifest(f"{registry.name}/shop/web:9", tmp_path).returncode == 1
    assert (found["available"], found["all_exist"], found["skipped_sections"]) == (True, False, [])
    # One connection, and as many requests as are counted.
    # What it refuses it logs with the port of the client.
    ports = re.findall(r'http\.request\.remoteaddr="127\.0\.0\.1:(\d+)"', asked_in)
    lines = [each for each in asked_in.splitlines() if each.startswith("127.0.0.1 ") and '"runbook.ops"' in each]
    assert len(lines) == found["requests_count"] == 15, asked_in
    assert len(ports) >= 3 and len(set(ports)) == 1, asked_in


def test_logins(certificate: Certificate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Basic and Bearer, from options, Docker's file and a helper; refused is unknown and not missing."""
    trusted = {"ca_path": str(certificate.authority)}
    with (
        TokenServer(certificate, tls=True) as tokens,
        RegistryServer(tls=certificate, basic=True) as basic,
        RegistryServer(tls=certificate, tokens=tokens) as bearer,
    ):
        for server in (basic, bearer):
            server.push_image("shop/web", reference="1.4")
        bearer.push_image("public/web", reference="1.4")
        images = [f"{each.name}/shop/web:1.4" for each in (basic, bearer)]
        # Nobody, and somebody with a wrong password: it may be there, or not.
        wrong = [{"registry": each.name, "username": USER, "password": "wr0ng-password"} for each in (basic, bearer)]
        for given in ([], wrong):
            refused = ask(*images, f"{bearer.name}/public/web:1.4", credentials=given, **trusted)
            assert [each["exists"] for each in refused["images"]] == [None, None, True if not given else None]
            assert (refused["available"], refused["all_exist"]) == (True, None)
            assert "it may be there, or not" in refused["images"][0]["reason"]
            assert "Log in with docker login" in refused["skipped_sections"][0]["remedy"]
            assert "wr0ng" not in json.dumps(refused)
        right = [{**each, "password": PASSWORD} for each in wrong]
        kept = login_file(tmp_path / "config.json", basic.name, f"https://{bearer.name}/v2/")
        helper = tmp_path / "docker-credential-lab"
        helper.write_text(
            '#!/bin/sh\nread server; echo "$server" >> "$0.asked"\n'
            f'[ "$server" = "{basic.name}" ] || {{ echo "credentials not found in native keychain"; exit 1; }}\n'
            f'printf \'{{"ServerURL":"%s","Username":"{USER}","Secret":"{PASSWORD}"}}\' "$server"\n'
        )
        helper.chmod(0o700)
        monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
        helped = tmp_path / "helped.json"
        token = {bearer.name: {"identitytoken": tokens.refresh_token}}
        helped.write_text(json.dumps({"credsStore": "lab", "auths": {basic.name: {}, **token}}))
        ways: list[dict[str, Any]] = [
            {"credentials": right},
            {"docker_config": str(kept)},
            {"docker_config": str(helped)},
            {"credentials": [right[0], {"registry": bearer.name, "token": tokens.token("shop/web", ["pull"])}]},
        ]
        for way in ways:
            found = ask(*images, **way, **trusted)
            assert [each["exists"] for each in found["images"]] == [True, True], (way, found)
            assert PASSWORD not in json.dumps(found)
        assert (tmp_path / "docker-credential-lab.asked").read_text().split() == [basic.name, bearer.name]
        asked = [each for each in tokens.stub.requests if each.method == "GET"]
        assert {each.argument("scope") for each in asked} == {"repository:shop/web:pull", "repository:public/web:pull"}
        assert {each.argument("service") for each in asked} == {tokens.service}
        # A helper that is not there is named, and whatever is public is found nevertheless.
        (tmp_path / "none.json").write_text(json.dumps({"credHelpers": {bearer.name: "nowhere"}}))
        public = ask(f"{bearer.name}/public/web:1.4", docker_config=str(tmp_path / "none.json"), **trusted)
        assert public["all_exist"] is True
        assert [each["section"] for each in public["skipped_sections"]] == [f"credentials of {bearer.name}"]
        # Without its authority nobody knows who answers.
        stranger = ask(images[0], credentials=right)
        assert (stranger["available"], stranger["all_exist"]) == (False, None)
        assert "is not accepted" in stranger["reason"] and "ca_path" in stranger["skipped_sections"][0]["remedy"]


def test_what_a_registry_says_is_not_believed(registry: RegistryServer) -> None:
    """Bytes that are not their digest's, and an index whose image is gone: HEAD says that all is well."""
    digest, _size = registry.push_image("torn/web", reference="1.4", words="torn")
    place = registry.storage / f"docker/registry/v2/blobs/sha256/{digest[7:9]}/{digest[7:]}/data"
    place.write_bytes(place.read_bytes().replace(b'"schemaVersion": 2', b'"schemaVersion":  2'))
    index = registry.push_index("sparse/web", ["linux/amd64", "linux/arm64"], "1.4", words="sparse")
    entries = json.loads(curl("-H", f"Accept: {INDEX}", f"{registry.url}/v2/sparse/web/manifests/1.4"))["manifests"]
    registry.forget("sparse/web", entries[1]["digest"])
    head = curl("-I", "-H", f"Accept: {MANIFEST}", f"{registry.url}/v2/torn/web/manifests/1.4").decode()
    assert "200 OK" in head and digest in head
    assert b"200 OK" in curl("-I", "-H", f"Accept: {INDEX}", f"{registry.url}/v2/sparse/web/manifests/1.4")
    found = ask_plain(registry, "torn/web:1.4", "sparse/web:1.4", platforms=["linux/arm64"])
    torn, sparse = found["images"]
    assert (torn["exists"], torn["digest"], torn["available"]) == (None, None, True)
    assert torn["reason"].startswith("the digest of what the registry sends is sha256:")
    assert (sparse["digest"], sparse["missing_platforms"]) == (index, ["linux/arm64"])
    assert sparse["reason"] == "the registry no longer has what the image consists of for linux/arm64"
    assert [each["exists"] for each in sparse["platforms"]] == [None, False]


def test_what_nobody_can_know() -> None:
    """No registry at all, one that is down or overloaded, and what is not asked without TLS."""
    manifest = {"schemaVersion": 2, "mediaType": INDEX, "manifests": []}
    limit = {"errors": [{"code": "TOOMANYREQUESTS", "message": "You have reached your pull rate limit."}]}
    busy = Reply(429, limit, headers={"Retry-After": "0"})
    routes = {
        "/v2/a/busy/manifests/1": [busy, busy, Reply(200, manifest, headers={"Content-Type": INDEX})],
        "/v2/a/limited/manifests/1": Reply(429, limit, headers={"Retry-After": "3600"}),
        "/v2/a/broken/manifests/1": Reply(500, {"errors": [{"code": "UNKNOWN", "message": "disk full"}]}),
        "/v2/a/page/manifests/1": Reply(200, "<html>Sign in</html>", headers={"Content-Type": "text/html"}),
        "/v2/a/odd/manifests/1": Reply(401, b"", headers={"WWW-Authenticate": "Negotiate"}),
        "/v2/a/sly/manifests/1": Reply(401, b"", headers={"WWW-Authenticate": 'Bearer realm="ftp://u:pw@evil/"'}),
        "/v2/a/moved/manifests/1": Reply(302, b"", headers={"Location": "ftp://elsewhere/"}),
    }
    closed = f"127.0.0.1:{free_port()}"
    with HttpStub(routes) as stub:
        here = f"127.0.0.1:{stub.port}"
        names = ["busy", "limited", "broken", "page", "odd", "sly", "moved", "nothing"]
        images = [f"{here}/a/{name}:1" for name in names]
        found = ask(*images, f"{closed}/a/web:1", f"{closed}/a/worker:1", insecure_registries=[here, closed])
        # Nobody has agreed to go without TLS, not even to this machine.
        encrypted = ask(images[0])
    told = {each["image"].partition("/a/")[2]: each for each in found["images"]}
    assert told["busy:1"]["exists"] is True
    assert [each["exists"] for each in found["images"]][1:] == [None] * 9
    parts = {
        "limited:1": "(status 429, You have reached your pull rate limit.) and wants to be asked again in 3600 s",
        "broken:1": "does not tell (status 500, disk full)",
        "page:1": "what the registry sends is no JSON object",
        "odd:1": "asks for a login of a kind that is not known here (negotiate)",
        "sly:1": "which is no https address",
        "moved:1": "is no registry (status 302, it redirects to",
        "nothing:1": "is no registry (status 404)",
        "web:1": "refused the connection",
        "worker:1": "refused the connection",
    }
    for image, part in parts.items():
        assert part in told[image]["reason"], told[image]
    assert "u:pw" not in json.dumps(found)
    assert not told["worker:1"]["available"] and not told["nothing:1"]["available"]
    # The second image of a registry that is down is not waited for, and its remedy is the first one's.
    assert found["requests_count"] == 3 + 7 + 1
    assert (encrypted["available"], encrypted["all_exist"], encrypted["requests_count"]) == (False, None, 1)
    with pytest.raises(InvalidOption, match=r"docker_config: .* is not accepted"):
        ask(images[0], docker_config="/nowhere/config.json")


def test_the_examples(certificate: Certificate, tmp_path: Path) -> None:
    """The documentation's own tasks, by Ansible, with a login that no output shows."""
    tasks = yaml.safe_load(registry_image_info.EXAMPLES)
    with RegistryServer(tls=certificate, basic=True) as registry:
        digest = registry.push_index("shop/web", ["linux/amd64", "linux/arm64"], "1.4.2")
        text = json.dumps(tasks).replace("registry.example.com", registry.name)
        defaults = {"runbook.ops.registry_image_info": {"ca_path": str(certificate.authority)}}
        variables = {"registry_password": PASSWORD}
        play = {"hosts": "localhost", "gather_facts": False, "module_defaults": defaults, "vars": variables}
        (tmp_path / "play.yml").write_text(json.dumps([{**play, "tasks": json.loads(text)}]))
        done = ansible_playbook(tmp_path, "-vvv", "play.yml")
    assert done.returncode == 0, done.stdout
    assert f'"wanted.images[0].reference": "{registry.name}/shop/web@{digest}"' in done.stdout
    assert PASSWORD not in done.stdout
