"""A client of image registries (OCI distribution specification): manifests and configurations, read only.

Own code, as the libraries for it are synchronous (oras, python-dxf) or connect where they like: every address here goes
through `Outbound`, every answer has a limit, and what a digest names is checked against it.
"""

from __future__ import annotations

import hashlib
import re
import ssl
import time
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

import orjson
from yarl import URL

from controllers.cluster.outbound import Answer, CallFailed, Outbound, no_trust, shown
from controllers.cluster.registry_logins import Login

INDEXES = ("application/vnd.oci.image.index.v1+json", "application/vnd.docker.distribution.manifest.list.v2+json")
MANIFESTS = ("application/vnd.oci.image.manifest.v1+json", "application/vnd.docker.distribution.manifest.v2+json")
MAX_MANIFEST = 4 * 1024 * 1024
"""What registries must take at most, so that no manifest is longer (distribution specification)."""
MAX_KEPT = 16 * 1024 * 1024
"""Bytes of manifests and configurations that are kept by their digest."""
TOKEN_LIFE = (30.0, 300.0)
"""Seconds for which a token is used: at least and at most, whatever the registry says."""
MAX_TOKENS = 256
ALGORITHMS = {"sha256": hashlib.sha256, "sha512": hashlib.sha512}
_PARAMETER = re.compile(r'(\w+)="([^"]*)"')


class RegistryError(Exception):
    """A registry without a usable answer; the text names the URL."""


@dataclass(frozen=True, slots=True)
class Repository:
    """One repository, and who asks. `insecure`: no TLS, or a certificate nobody trusts, will do."""

    host: str
    name: str
    login: Login | None = None
    insecure: bool = False


@dataclass(frozen=True, slots=True)
class Stored:
    """A document of a registry: its digest, media type and JSON content."""

    digest: str
    media_type: str
    content: Any


class Registry:
    """Reads from any registry. What has a digest is kept; tags are asked for each time."""

    def __init__(self, outbound: Outbound, *, max_blob: int, timeout: float) -> None:
        self._outbound = outbound
        self._max_blob = max_blob
        self._timeout = timeout
        self._tokens: dict[Repository, tuple[float, str]] = {}
        self._plain: set[str] = set()
        self._kept: OrderedDict[tuple[Repository, str], tuple[int, Stored]] = OrderedDict()
        self._size = 0

    async def manifest(self, repository: Repository, reference: str) -> Stored:
        """The manifest or index that a tag or digest names. Raises `RegistryError`."""
        kept = self._held(repository, reference)
        if kept is not None:
            return kept
        path = f"/v2/{repository.name}/manifests/{reference}"
        answer, called = await self._get(repository, path, accept=", ".join((*INDEXES, *MANIFESTS)), limit=MAX_MANIFEST)
        digest = reference if ":" in reference else f"sha256:{hashlib.sha256(answer.body).hexdigest()}"
        content = _checked(answer.body, digest, called)
        media_type = str(content.get("mediaType") or answer.headers.get("Content-Type", "").partition(";")[0].strip())
        if media_type not in (*INDEXES, *MANIFESTS):
            raise RegistryError(f"{called}: manifests of type `{media_type}` are not supported")
        return self._keep(repository, Stored(digest, media_type, content), len(answer.body))

    async def blob(self, repository: Repository, digest: str) -> Stored:
        """The JSON document that is stored under a digest: a configuration. Raises `RegistryError`."""
        kept = self._held(repository, digest)
        if kept is not None:
            return kept
        path = f"/v2/{repository.name}/blobs/{digest}"
        answer, called = await self._get(repository, path, accept="*/*", limit=self._max_blob, elsewhere=True)
        return self._keep(repository, Stored(digest, "", _checked(answer.body, digest, called)), len(answer.body))

    # Calls

    async def _get(
        self, repository: Repository, path: str, *, accept: str, limit: int, elsewhere: bool = False
    ) -> tuple[Answer, str]:
        """The answer, and what was called. Without TLS where an insecure registry does not speak it."""
        # INVARIANT (TLS): what one policy calls insecure is so for it alone; others keep their log-ins behind TLS
        plain = repository.insecure and repository.host in self._plain
        schemes = ["http"] if plain else ["https", "http"] if repository.insecure else ["https"]
        for scheme in schemes:
            url = URL(f"{scheme}://{repository.host}{path}", encoded=True)
            called = f"GET {shown(url)}"
            try:
                answer = await self._with_login(repository, url, accept=accept, limit=limit, elsewhere=elsewhere)
            except CallFailed as failed:
                if scheme != schemes[-1] and not failed.status and not failed.challenge:
                    continue
                raise RegistryError(f"{called}: {failed}") from failed
            if scheme == "http" and len(self._plain) < MAX_TOKENS:
                self._plain.add(repository.host)
            return answer, called
        raise AssertionError("every scheme was tried")

    async def _with_login(self, repository: Repository, url: URL, *, accept: str, limit: int, elsewhere: bool) -> Answer:
        authorization = self._token(repository)
        for last in (False, True):
            headers = [("Accept", accept)]
            if authorization:
                headers.append(("Authorization", authorization))
            try:
                return await self._outbound.call(
                    "GET",
                    url,
                    headers=headers,
                    tls=_tls(repository),
                    limit=limit,
                    timeout=self._timeout,
                    elsewhere=elsewhere,
                    listed=False,
                )
            except CallFailed as failed:
                if failed.status != 401 or last or not failed.challenge:
                    raise
                authorization = await self._log_in(repository, failed.challenge)
        raise AssertionError("the second answer is final")

    async def _log_in(self, repository: Repository, challenge: str) -> str:
        """The Authorization header that answers a challenge. Raises `CallFailed`."""
        scheme = challenge.partition(" ")[0].lower()
        login = repository.login
        if scheme == "basic":
            if login is None or login.token:
                raise CallFailed("HTTP 401: a log-in is needed", status=401)
            return login.basic
        if scheme != "bearer":
            raise CallFailed(f"HTTP 401: log-ins by `{scheme}` are not supported", status=401)
        if login is not None and login.token:
            return f"Bearer {login.token}"
        parameters = dict(_PARAMETER.findall(challenge))
        try:
            realm = URL(parameters.get("realm", ""))
        except ValueError as error:
            raise CallFailed(f"HTTP 401: the registry's log-in has no URL: {error}", status=401) from error
        if realm.scheme != "https" and not (repository.insecure and realm.scheme == "http"):
            raise CallFailed("HTTP 401: the registry's log-in has no https URL", status=401)
        query = {"scope": f"repository:{repository.name}:pull"}
        if "service" in parameters:
            query["service"] = parameters["service"]
        try:
            answer = await self._outbound.call(
                "GET",
                realm.update_query(query),
                headers=[("Authorization", login.basic)] if login is not None else [],
                tls=_tls(repository),
                limit=100_000,
                timeout=self._timeout,
                listed=False,
            )
            document = orjson.loads(answer.body)
            token = document.get("token") or document.get("access_token")
            life = float(document.get("expires_in") or 60)
        except CallFailed as failed:
            raise CallFailed(f"log-in at {shown(realm)}: {failed}", status=401) from failed
        except (orjson.JSONDecodeError, AttributeError, TypeError, ValueError) as error:
            raise CallFailed(f"log-in at {shown(realm)}: the answer holds no token", status=401) from error
        if not token:
            raise CallFailed(f"log-in at {shown(realm)}: the answer holds no token", status=401)
        if len(self._tokens) >= MAX_TOKENS:
            self._tokens.clear()
        self._tokens[repository] = (time.monotonic() + min(max(life - 10, TOKEN_LIFE[0]), TOKEN_LIFE[1]), f"Bearer {token}")
        return f"Bearer {token}"

    def _token(self, repository: Repository) -> str:
        expires, header = self._tokens.get(repository, (0.0, ""))
        return header if expires > time.monotonic() else ""

    # What is kept

    def _held(self, repository: Repository, digest: str) -> Stored | None:
        """INVARIANT (private images): the key holds the log-in, so that nobody reads what another was allowed to read."""
        key = (repository, digest)
        if key not in self._kept:
            return None
        self._kept.move_to_end(key)
        return self._kept[key][1]

    def _keep(self, repository: Repository, stored: Stored, size: int) -> Stored:
        if (repository, stored.digest) not in self._kept:
            self._kept[repository, stored.digest] = (size, stored)
            self._size += size
        while self._size > MAX_KEPT:
            _, (gone, _) = self._kept.popitem(last=False)
            self._size -= gone
        return stored


def _tls(repository: Repository) -> ssl.SSLContext | None:
    return no_trust() if repository.insecure else None


def _checked(body: bytes, digest: str, called: str) -> Any:
    """The JSON object of a body that has the digest it should have."""
    algorithm, _, wanted = digest.partition(":")
    if algorithm not in ALGORITHMS:
        raise RegistryError(f"{called}: digests by `{algorithm}` are not supported")
    if ALGORITHMS[algorithm](body).hexdigest() != wanted:
        raise RegistryError(f"{called}: the answer does not have the digest {digest}")
    try:
        content = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise RegistryError(f"{called}: the answer is no JSON: {error}") from error
    if not isinstance(content, dict):
        raise RegistryError(f"{called}: the answer is no JSON object")
    return content
