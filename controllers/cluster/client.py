"""A small client of the Kubernetes API: raw bytes and orjson, no models.

Typed models cost more than everything else on paths that list or watch (design.md 6), so objects stay the dicts that
orjson makes.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import quote

import aiohttp
import orjson

from controllers.cluster.credentials import Credentials
from controllers.cluster.pace import Pace

Json = Any
TIMEOUT = 30.0
MERGE_PATCH = "application/merge-patch+json"
ERROR_BODY = 256 * 1024
"""Bytes of an answer with an error that are read: a text for people, whoever wrote it."""
METADATA_ONLY = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
Counted = Callable[[str, str, bool], None]
"""Told of every request: method, path, whether it watches."""


class ApiError(Exception):
    """The API server said no. `status` is the HTTP code, `reason` its machine-readable cause (`NotFound`, `Conflict`…)."""

    def __init__(self, status: int, reason: str, message: str) -> None:
        super().__init__(f"{status} {reason}: {message}")
        self.status = status
        self.reason = reason
        self.message = message

    @property
    def not_found(self) -> bool:
        return self.status == 404

    @property
    def conflict(self) -> bool:
        """Somebody else was faster: 409 of a create or of an update with an old resourceVersion."""
        return self.status == 409

    @property
    def gone(self) -> bool:
        """The resourceVersion is too old to watch from."""
        return self.status == 410


class Unreachable(Exception):
    """No answer from the API server: refused, reset, timed out."""


class TooLong(Exception):
    """An answer of more bytes than its reader allows; it was not read to its end."""


FAILURES = (ApiError, Unreachable)


def segment(name: str) -> str:
    """A name or namespace as one segment of a path: names of some kinds, ClusterRoles among them, may hold `?`, `#` and blanks.

    INVARIANT (a name is no path): names come from policies and from the objects of users, who must not choose another place by
    them. What the API server takes for no name of any kind raises `ApiError` 422, as it would answer itself.
    """
    if name in (".", "..") or "/" in name or "%" in name or not name.isprintable():
        raise ApiError(422, "Invalid", f"`{name}` cannot be the name of an object or a namespace")
    return quote(name, safe=":")


class Client:
    """One identity's connection pool. Use as an async context manager, on one event loop.

    INVARIANT (watches do not block): a watch holds its connection for good and there is one for each kind that somebody follows;
    only requests with an end count towards `connections`.

    `pace` bounds how often requests are sent (--clientRateLimitQPS, --clientRateLimitBurst); watches, once open, cost nothing.
    `counted` hears of each request.
    """

    def __init__(
        self,
        credentials: Credentials,
        *,
        connections: int = 64,
        user_agent: str = "pyvern",
        pace: Pace | None = None,
        counted: Counted | None = None,
    ) -> None:
        self.credentials = credentials
        self._pace = pace
        self._ssl = credentials.ssl_context() if credentials.server.startswith("https") else False
        self._connections = connections
        self._user_agent = user_agent
        self._counted = counted
        self._session: aiohttp.ClientSession | None = None
        self._streams: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Client:
        self._session, self._streams = self._pool(self._connections), self._pool(0)
        return self

    def _pool(self, connections: int) -> aiohttp.ClientSession:
        """At most so many connections at once; 0: any number."""
        return aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(ssl=self._ssl, limit=connections),
            headers={"User-Agent": self._user_agent},
            cookie_jar=aiohttp.DummyCookieJar(),
        )

    async def __aexit__(self, *_: object) -> None:
        for session in (self._session, self._streams):
            if session is not None:
                await session.close()

    async def get(self, path: str, **params: str) -> Json:
        return await self.call("GET", path, params=params)

    async def create(self, path: str, body: Json) -> Json:
        return await self.call("POST", path, body=body)

    async def replace(self, path: str, body: Json) -> Json:
        return await self.call("PUT", path, body=body)

    async def merge(self, path: str, patch: Json) -> Json:
        return await self.call("PATCH", path, body=patch, content_type=MERGE_PATCH)

    async def delete(self, path: str) -> None:
        """Deletes; an object that is not there is no error."""
        try:
            await self.call("DELETE", path)
        except ApiError as error:
            if not error.not_found:
                raise

    async def call(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        body: Json = None,
        content_type: str = "application/json",
        accept: str = "application/json",
        timeout: float = TIMEOUT,
    ) -> Json:
        """One request and its decoded answer. Raises `ApiError` and `Unreachable`."""
        data = await self.raw(method, path, params=params, body=body, content_type=content_type, accept=accept, timeout=timeout)
        return orjson.loads(data) if data else None

    async def raw(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        body: Json = None,
        content_type: str = "application/json",
        accept: str = "application/json",
        timeout: float = TIMEOUT,
        limit: int | None = None,
    ) -> bytes:
        """As `call`, undecoded. `body` may be bytes that are JSON already. An answer of more than `limit` bytes is `TooLong`."""
        data = body if body is None or isinstance(body, bytes) else orjson.dumps(body)
        if self._pace is not None and (delay := self._pace.delay(time.monotonic())):
            await asyncio.sleep(delay)
        async with self._open(
            method, path, params, data, {"Accept": accept, "Content-Type": content_type}, aiohttp.ClientTimeout(total=timeout)
        ) as response:
            if limit is None:
                return await response.read()
            answer = await _beginning(response, limit + 1)
            if len(answer) > limit:
                raise TooLong
            return answer

    @asynccontextmanager
    async def stream(
        self, path: str, *, params: Mapping[str, str], accept: str = "application/json", idle: float
    ) -> AsyncIterator[aiohttp.StreamReader]:
        """The body of a watch as it comes; `idle` seconds without a byte end it with `Unreachable`."""
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=10, sock_read=idle)
        async with self._open("GET", path, params, None, {"Accept": accept}, timeout) as response:
            yield response.content

    @asynccontextmanager
    async def _open(
        self,
        method: str,
        path: str,
        params: Mapping[str, str] | None,
        data: bytes | None,
        headers: dict[str, str],
        timeout: aiohttp.ClientTimeout,
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        endless = timeout.total is None
        session = self._streams if endless else self._session
        assert session is not None, "the client is used outside its context"
        if self._counted is not None:
            self._counted(method, path, endless)
        authorization = self.credentials.authorization()
        if authorization:
            headers["Authorization"] = authorization
        try:
            async with session.request(
                method,
                self.credentials.server + path,
                params=params or None,
                data=data,
                headers=headers,
                timeout=timeout,
                server_hostname=self.credentials.tls_server_name,
                allow_redirects=False,  # INVARIANT (tokens): our log-in goes to the API server and nowhere else
            ) as response:
                if 300 <= response.status < 400:
                    raise ApiError(response.status, "", "redirects of the API server are not followed")
                if response.status >= 400:
                    if response.status == 401:
                        self.credentials.forget_token()
                    raise _api_error(response.status, await _beginning(response, ERROR_BODY))
                yield response
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise Unreachable(f"{method} {path}: {error or type(error).__name__}") from error


async def _beginning(response: aiohttp.ClientResponse, limit: int) -> bytes:
    """The body, or its first `limit` bytes; the rest is not read."""
    parts: list[bytes] = []
    async for part in response.content.iter_any():
        parts.append(part[:limit])
        limit -= len(part)
        if limit <= 0:
            break
    return b"".join(parts)


def _api_error(status: int, body: bytes) -> ApiError:
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError:
        document = None
    if isinstance(document, dict) and document.get("kind") == "Status":
        return ApiError(status, str(document.get("reason") or ""), str(document.get("message") or ""))
    return ApiError(status, "", body[:200].decode(errors="replace").strip())
