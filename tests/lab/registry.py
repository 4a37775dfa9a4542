"""A registry of our own, from the system's package ``docker-registry``, and images of a few bytes to put into it."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import shutil
import ssl
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Self

from lab import process
from lab.certificates import Certificate
from lab.errors import MissingServer
from lab.http_stub import HttpStub, Reply, Request
from lab.server import Server

HOW_TO_INSTALL = "Install the package 'docker-registry' (Debian, Ubuntu)."
USER, PASSWORD = "deploy", "registry-password-7"
# Made with crypt(3); a registry takes bcrypt only.
_HTPASSWD = "deploy:$2b$05$XUDwFZNPFvMbjSQgjMNb7O6Q3MDBObKyO3lNezM3ZAm4/kOM0Shgi\n"
INDEX = "application/vnd.oci.image.index.v1+json"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
CONFIGURATION = "application/vnd.oci.image.config.v1+json"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_CONFIGURATION = "application/vnd.docker.container.image.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"
CREATED = "2026-01-31T00:15:00Z"


def registry_binary() -> Path | None:
    """The server program, if there is one."""
    found = shutil.which("docker-registry", path=os.pathsep.join([os.environ.get("PATH", ""), "/usr/bin"]))
    return Path(found) if found else None


def digest_of(body: bytes) -> str:
    return f"sha256:{hashlib.sha256(body).hexdigest()}"


class RegistryServer(Server):
    """``tls`` serves https; ``basic`` asks for USER with PASSWORD, ``tokens`` for a token of that server."""

    label: ClassVar[str] = "Registry"

    def __init__(
        self,
        base: Path | None = None,
        *,
        tls: Certificate | None = None,
        basic: bool = False,
        tokens: TokenServer | None = None,
        storage: Path | None = None,
        environment: dict[str, str] | None = None,
        on_spawn: Callable[[Server], None] | None = None,
    ) -> None:
        binary = registry_binary()
        if binary is None:
            raise MissingServer(f"No registry was found. {HOW_TO_INSTALL}")
        self.binary = binary
        super().__init__(base, on_spawn=on_spawn, environment=environment)
        self.tls, self.basic, self.tokens = tls, basic, tokens
        self.storage = storage or self.base / "storage"

    @property
    def name(self) -> str:
        """As images name it."""
        return f"localhost:{self.port}" if self.tls else f"{self.host}:{self.port}"

    @property
    def url(self) -> str:
        return f"{'https' if self.tls else 'http'}://{self.name}"

    def _configuration(self) -> dict[str, Any]:
        http: dict[str, Any] = {"addr": f"{self.host}:{self.port}", "secret": "of-the-lab"}
        if self.tls:
            http["tls"] = {"certificate": str(self.tls.chain), "key": str(self.tls.key)}
        auth: dict[str, Any] = {}
        if self.basic:
            (self.base / "htpasswd").write_text(_HTPASSWD, encoding="utf-8")
            auth = {"htpasswd": {"realm": "lab", "path": str(self.base / "htpasswd")}}
        if self.tokens:
            auth = {"token": self.tokens.configuration()}
        return {
            "version": "0.1",
            "log": {"level": "warn", "accesslog": {"disabled": False}},
            "storage": {
                "filesystem": {"rootdirectory": str(self.storage)},
                "delete": {"enabled": True},
                "maintenance": {"uploadpurging": {"enabled": False}},
            },
            "http": http,
            **({"auth": auth} if auth else {}),
        }

    def _spawn(self) -> subprocess.Popen[bytes]:
        # YAML reads JSON.
        (self.base / "config.yml").write_text(json.dumps(self._configuration()), encoding="utf-8")
        return process.spawn(
            [self.binary, "serve", str(self.base / "config.yml")],
            log=self.log,
            cwd=self.base,
            # The exporter of traces of later versions looks for a collector otherwise.
            env={"OTEL_TRACES_EXPORTER": "none", **self.environment},
            dies_with_parent=not self.detached,
        )

    def _is_ready(self) -> bool:
        try:
            return self.ask("GET", "").status in (200, 401)
        except OSError:
            return False

    # --- use
    def ask(self, method: str, path: str, body: bytes | None = None, headers: Mapping[str, str] | None = None) -> Reply:
        """One request below ``/v2/``, with the login there is."""
        url = path if path.startswith("http") else f"{self.url}/v2/{path}"
        fields = dict(headers or {})
        if self.basic:
            fields["Authorization"] = "Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        if self.tokens:
            repository = urllib.parse.urlsplit(url).path.removeprefix("/v2/").rpartition("/blobs/")[0]
            repository = repository or urllib.parse.urlsplit(url).path.removeprefix("/v2/").rpartition("/manifests/")[0]
            fields["Authorization"] = f"Bearer {self.tokens.token(repository, ['pull', 'push'])}"
        context = ssl.create_default_context(cafile=str(self.tls.authority)) if self.tls else None
        request = urllib.request.Request(url, data=body, headers=fields, method=method)
        try:
            with urllib.request.urlopen(request, timeout=60, context=context) as answer:
                return Reply(
                    answer.status, answer.read(), {name.lower(): text for name, text in answer.headers.items()}
                )
        except urllib.error.HTTPError as error:
            with error:
                return Reply(error.code, error.read(), {name.lower(): text for name, text in error.headers.items()})

    def push_blob(self, repository: str, body: bytes) -> str:
        started = self.ask("POST", f"{repository}/blobs/uploads/", b"")
        assert started.status == 202, (started.status, started.body)
        place = urllib.parse.urljoin(f"{self.url}/", started.headers["location"])
        mark = "&" if "?" in place else "?"
        headers = {"Content-Type": "application/octet-stream"}
        done = self.ask("PUT", f"{place}{mark}digest={digest_of(body)}", body, headers)
        assert done.status == 201, (done.status, done.body)
        return digest_of(body)

    def push_manifest(self, repository: str, document: Mapping[str, Any], reference: str = "") -> str:
        """A manifest or an index, by a tag or its digest; returns its digest."""
        body = json.dumps(document).encode()
        headers = {"Content-Type": str(document["mediaType"])}
        done = self.ask("PUT", f"{repository}/manifests/{reference or digest_of(body)}", body, headers)
        assert done.status == 201, (done.status, done.body)
        return digest_of(body)

    def push_image(
        self,
        repository: str,
        platform: str = "linux/amd64",
        reference: str = "",
        *,
        docker: bool = False,
        words: str = "",
    ) -> tuple[str, int]:
        """An image for one platform, and how many bytes have to be fetched for it."""
        layer = f"layer of {platform} {words}".encode()
        names = dict(zip(("os", "architecture", "variant"), platform.split("/"), strict=False))
        configuration = json.dumps({**names, "created": CREATED, "rootfs": {"type": "layers", "diff_ids": []}}).encode()
        parts = [
            {"mediaType": DOCKER_CONFIGURATION if docker else CONFIGURATION, "size": len(configuration)},
            {"mediaType": LAYER, "size": len(layer)},
        ]
        for part, body in zip(parts, (configuration, layer), strict=True):
            part["digest"] = self.push_blob(repository, body)
        document = {
            "schemaVersion": 2,
            "mediaType": DOCKER_MANIFEST if docker else MANIFEST,
            "config": parts[0],
            "layers": parts[1:],
        }
        return self.push_manifest(repository, document, reference), len(configuration) + len(layer)

    def push_index(self, repository: str, platforms: Sequence[str], reference: str = "", words: str = "") -> str:
        """An index of images for several platforms, with an attestation beside them as builders put it there."""
        entries: list[dict[str, Any]] = []
        for platform in platforms:
            digest, _size = self.push_image(repository, platform, words=words)
            size = len(self.ask("GET", f"{repository}/manifests/{digest}", headers={"Accept": MANIFEST}).body)
            names = dict(zip(("os", "architecture", "variant"), platform.split("/"), strict=False))
            entries.append({"mediaType": MANIFEST, "digest": digest, "size": size, "platform": names})
        beside = {
            "vnd.docker.reference.type": "attestation-manifest",
            "vnd.docker.reference.digest": entries[0]["digest"],
        }
        unknown = {"os": "unknown", "architecture": "unknown"}
        entries.append({**entries[0], "platform": unknown, "annotations": beside})
        return self.push_manifest(repository, {"schemaVersion": 2, "mediaType": INDEX, "manifests": entries}, reference)

    def forget(self, repository: str, digest: str) -> None:
        """Delete a manifest, and leave everything that refers to it."""
        done = self.ask("DELETE", f"{repository}/manifests/{digest}")
        assert done.status == 202, (done.status, done.body)


class TokenServer:
    """Gives the tokens that a registry asks for, signed with a key of its own, to USER with PASSWORD.

    It is the protocol of https://distribution.github.io/distribution/spec/auth/token/. ``stub`` knows what was asked.
    """

    service: ClassVar[str] = "registry-of-the-lab"
    issuer: ClassVar[str] = "tokens-of-the-lab"
    refresh_token: ClassVar[str] = "refresh-token-of-the-lab-9"

    def __init__(self, certificate: Certificate, *, tls: bool = False) -> None:
        self.certificate = certificate
        self.valid_seconds = 300
        self.stub = HttpStub({"/token": self._answer}, tls=certificate if tls else False)

    def __enter__(self) -> Self:
        self.stub.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stub.stop()

    def configuration(self) -> dict[str, str]:
        """What the registry has to know."""
        return {
            "realm": f"{self.stub.url}/token",
            "service": self.service,
            "issuer": self.issuer,
            "rootcertbundle": str(self.certificate.chain),
        }

    def _answer(self, request: Request) -> Any:
        given = urllib.parse.parse_qs(request.body.decode()) if request.method == "POST" else request.query
        login = "Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        if given.get("refresh_token", [self.refresh_token]) != [self.refresh_token]:
            return Reply(401, {"errors": [{"code": "UNAUTHORIZED", "message": "unknown refresh token"}]})
        if request.method == "GET" and request.headers.get("authorization", login) != login:
            return Reply(401, {"errors": [{"code": "UNAUTHORIZED", "message": "incorrect username or password"}]})
        known = request.method == "POST" or "authorization" in request.headers
        repository = given["scope"][0].split(":")[1]
        # What is public anybody may read; what a token allows is what the scope and the user have in common.
        actions = ["pull"] if known or repository.startswith("public/") else []
        return {"token": self.token(repository, actions), "expires_in": self.valid_seconds}

    def token(self, repository: str, actions: Sequence[str]) -> str:
        """A JSON web token that allows something."""
        from cryptography import x509
        from cryptography.hazmat.primitives import hashes, serialization
        from cryptography.hazmat.primitives.asymmetric import ec
        from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

        certificate = x509.load_pem_x509_certificate(self.certificate.chain.read_bytes())
        der = certificate.public_bytes(serialization.Encoding.DER)
        head = {"typ": "JWT", "alg": "ES256", "x5c": [base64.b64encode(der).decode()]}
        now = int(time.time())
        access = [{"type": "repository", "name": repository, "actions": list(actions)}] if actions else []
        claims: dict[str, Any] = {
            "iss": self.issuer,
            "sub": USER,
            "aud": self.service,
            "jti": os.urandom(8).hex(),
            "access": access,
        }
        claims |= {"iat": now, "nbf": now - 10, "exp": now + self.valid_seconds}
        signed = ".".join(_base64url(json.dumps(part).encode()) for part in (head, claims))
        key = serialization.load_pem_private_key(self.certificate.key.read_bytes(), password=None)
        assert isinstance(key, ec.EllipticCurvePrivateKey)
        numbers = decode_dss_signature(key.sign(signed.encode(), ec.ECDSA(hashes.SHA256())))
        return f"{signed}.{_base64url(b''.join(number.to_bytes(32, 'big') for number in numbers))}"


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def login_file(path: Path, *registries: str, **more: Any) -> Path:
    """Docker's configuration file with logins of USER, and whatever else it shall have."""
    auth = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
    path.write_text(json.dumps({"auths": {name: {"auth": auth} for name in registries}, **more}), encoding="utf-8")
    return path
