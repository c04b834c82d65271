"""A real image registry (CNCF distribution) for tests: started on loopback, filled by hand, without the internet."""

from __future__ import annotations

import base64
import hashlib
import json
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.x509 import load_pem_x509_certificate

from deploy.local.binaries import REGISTRY, provide
from deploy.local.console import Blocked

USER, PASSWORD = "ann", "s3cret"
HTPASSWD = "$2b$04$.YW2RnOjaLodwH3y230SNecmECvVWKMmAZi2IYCV9rMo5nXgV99li"
INDEX = "application/vnd.oci.image.index.v1+json"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"


def digest(body: bytes) -> str:
    return f"sha256:{hashlib.sha256(body).hexdigest()}"


class Filled:
    """A running registry at `host`, and how to put images into it."""

    def __init__(self, host: str, *, authorization: str = "") -> None:
        self.host = host
        self._authorization = authorization

    def ask(self, method: str, path: str, body: bytes = b"", content_type: str = "application/octet-stream") -> str:
        """The Location that the registry answers with."""
        url = path if path.startswith("http") else f"http://{self.host}{path}"
        request = urllib.request.Request(url, data=body, method=method, headers={"Content-Type": content_type})
        if self._authorization:
            request.add_header("Authorization", self._authorization)
        with urllib.request.urlopen(request, timeout=10) as response:
            return str(response.headers.get("Location") or "")

    def blob(self, name: str, body: bytes) -> str:
        place = self.ask("POST", f"/v2/{name}/blobs/uploads/")
        self.ask("PUT", f"{place}{'&' if '?' in place else '?'}digest={digest(body)}", body)
        return digest(body)

    def push(
        self, name: str, tag: str, *, config: Any, media_type: str = MANIFEST, annotations: dict[str, str] | None = None
    ) -> str:
        """An image of one layer; returns the digest of its manifest."""
        config_body = json.dumps(config).encode()
        docker = media_type == DOCKER_MANIFEST
        family = "application/vnd.docker.container.image.v1+json" if docker else "application/vnd.oci.image.config.v1+json"
        layer = "application/vnd.docker.image.rootfs.diff.tar.gzip" if docker else "application/vnd.oci.image.layer.v1.tar+gzip"
        manifest = {
            "schemaVersion": 2,
            "mediaType": media_type,
            "config": {"mediaType": family, "digest": self.blob(name, config_body), "size": len(config_body)},
            "layers": [{"mediaType": layer, "digest": self.blob(name, b"layer"), "size": 5}],
        }
        if annotations:
            manifest["annotations"] = annotations
        return self.put(name, tag, manifest)

    def put(self, name: str, tag: str, manifest: Any) -> str:
        body = json.dumps(manifest).encode()
        self.ask("PUT", f"/v2/{name}/manifests/{tag or digest(body)}", body, manifest["mediaType"])
        return digest(body)

    def index(self, name: str, tag: str, images: dict[str, str], media_type: str = INDEX) -> str:
        """An index of architecture -> digest of its manifest."""
        of = DOCKER_MANIFEST if media_type == DOCKER_LIST else MANIFEST
        entries = [
            {"mediaType": of, "digest": image, "size": 1, "platform": {"os": "linux", "architecture": architecture}}
            for architecture, image in images.items()
        ]
        return self.put(name, tag, {"schemaVersion": 2, "mediaType": media_type, "manifests": entries})


@contextmanager
def registry(folder: Path, *, auth: dict[str, Any] | None = None, authorization: str = "") -> Iterator[Filled]:
    """A registry without TLS; `auth` is that part of its configuration."""
    try:
        program = provide(REGISTRY)["registry"]
    except Blocked as blocked:
        pytest.skip(f"no image registry: {blocked}")
    folder.mkdir(parents=True, exist_ok=True)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    configuration: dict[str, Any] = {
        "version": 0.1,
        "log": {"level": "error"},
        "storage": {"filesystem": {"rootdirectory": str(folder / "storage")}},
        "http": {"addr": f"127.0.0.1:{port}"},
    }
    if auth:
        configuration["auth"] = auth
    file = folder / "config.yml"
    file.write_text(json.dumps(configuration))
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen([program, "serve", str(file)], stdout=log, stderr=log)
    try:
        _wait(port, process, folder / "log")
        yield Filled(f"127.0.0.1:{port}", authorization=authorization)
    finally:
        process.terminate()
        process.wait(10)


def _wait(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        assert process.poll() is None, log.read_text()
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/v2/", timeout=5).close()
        except urllib.error.HTTPError:
            return
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise AssertionError(f"the registry does not answer: {log.read_text()}")


def basic() -> str:
    return "Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()


def by_password(folder: Path) -> dict[str, Any]:
    """The configuration of a registry that knows one user."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "htpasswd"
    file.write_text(f"{USER}:{HTPASSWD}\n")
    return {"htpasswd": {"realm": "test", "path": str(file)}}


class Tokens:
    """Issues the tokens of a registry's log-in service: JSON Web Tokens signed with a key of `deploy.local.certificates`."""

    def __init__(self, keys: Path) -> None:
        self._key = serialization.load_pem_private_key((keys / "server.key").read_bytes(), None)
        self._certificate = load_pem_x509_certificate((keys / "server.crt").read_bytes())
        self.asked: list[dict[str, str]] = []

    def token(self, scope: str, *, actions: str = "pull") -> str:
        kind, name, _ = scope.split(":")
        now = int(time.time())
        header = {
            "typ": "JWT",
            "alg": "ES256",
            "x5c": [base64.b64encode(self._certificate.public_bytes(serialization.Encoding.DER)).decode()],
        }
        claims = {
            "iss": "tests",
            "sub": USER,
            "aud": "registry",
            "exp": now + 300,
            "nbf": now - 60,
            "iat": now,
            "jti": str(now),
            "access": [{"type": kind, "name": name, "actions": actions.split(",")}],
        }
        signed = b".".join(_url64(json.dumps(part).encode()) for part in (header, claims))
        assert isinstance(self._key, ec.EllipticCurvePrivateKey)
        r, s = decode_dss_signature(self._key.sign(signed, ec.ECDSA(hashes.SHA256())))
        return (signed + b"." + _url64(r.to_bytes(32, "big") + s.to_bytes(32, "big"))).decode()

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """Everybody reads `open/…`; the rest wants the user's password."""
        self.asked.append({**request.query, "authorization": request.headers.get("Authorization", "")})
        scope = request.query["scope"]
        if not scope.startswith("repository:open/") and request.headers.get("Authorization") != basic():
            return web.json_response({"details": "who are you?"}, status=401)
        return web.json_response({"token": self.token(scope), "expires_in": 300})


def _url64(data: bytes) -> bytes:
    return base64.urlsafe_b64encode(data).rstrip(b"=")
