"""HTTP to addresses that policies name: TLS verified, answers limited, and only where `Reach` lets go.

No credentials of this process ever leave it here: what is sent is what the caller gives (docs/decisions: calls of policies).
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Iterable, Mapping
from functools import lru_cache
from ipaddress import ip_address
from socket import socket
from typing import Any, NamedTuple

import aiohttp
from aiohttp.client_exceptions import ClientConnectorError
from multidict import CIMultiDict
from yarl import URL

from controllers.cluster.reach import OutOfReach, Reach

MAX_REDIRECTS = 3
REDIRECTS = frozenset({301, 302, 303, 307, 308})
CONNECTIONS = 256
CONNECTIONS_PER_HOST = 32
"""Far fewer than all: a host that hangs must not take the connections of the others."""
FRAMING = frozenset({"host", "content-length", "transfer-encoding", "connection", "te", "trailer", "upgrade", "expect"})
"""Headers that say where a message ends or who it is for: with those of a policy, one call could forge another's answer."""


class CallFailed(Exception):
    """A call without a usable answer; `status` is that of the answer, 0 where there was none. The text names no URL."""

    def __init__(self, reason: str, *, status: int = 0, challenge: str = "") -> None:
        super().__init__(reason)
        self.status = status
        self.challenge = challenge


class Answer(NamedTuple):
    """What came: whole, and not longer than allowed."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Outbound:
    """One pool of connections to services and registries. Use as an async context manager, on one event loop."""

    def __init__(self, reach: Reach | None = None, *, user_agent: str = "pyvern") -> None:
        self.reach = reach or Reach.of()
        self._user_agent = user_agent
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Outbound:
        connector = aiohttp.TCPConnector(
            limit=CONNECTIONS, limit_per_host=CONNECTIONS_PER_HOST, ttl_dns_cache=10, socket_factory=self._socket
        )
        self._session = aiohttp.ClientSession(
            connector=connector,
            headers={"User-Agent": self._user_agent, "Accept-Encoding": "identity"},
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            trust_env=False,
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._session is not None:
            await self._session.close()

    async def call(
        self,
        method: str,
        url: URL,
        *,
        headers: Iterable[tuple[str, str]] = (),
        body: bytes | None = None,
        tls: ssl.SSLContext | None = None,
        limit: int,
        timeout: float,
        elsewhere: bool = False,
        listed: bool = True,
    ) -> Answer:
        """The answer of `url`: its body has at most `limit` bytes and its status is 2xx. Raises `CallFailed`.

        A GET follows redirects of the same host; with `elsewhere` also to other hosts, without `headers`. `listed`: the
        allowlist of `Reach` counts. `timeout` is in seconds, for everything.
        """
        sent = CIMultiDict(headers)
        forbidden = FRAMING.intersection(name.lower() for name in sent)
        if forbidden:
            raise CallFailed(f"header `{min(forbidden)}` must not be set")
        try:
            async with asyncio.timeout(max(timeout, 0)):
                for _ in range(MAX_REDIRECTS + 1):
                    answer, target = await self._once(method, url, sent, body, tls, limit, listed)
                    if target is None:
                        return answer
                    if method != "GET":
                        raise CallFailed(f"HTTP {answer.status}: a {method} is not redirected", status=answer.status)
                    if not _same_place(url, target):
                        if not elsewhere:
                            raise CallFailed(
                                f"HTTP {answer.status}: redirects to another host are not followed", status=answer.status
                            )
                        sent = CIMultiDict()
                    url = target
                raise CallFailed(f"more than {MAX_REDIRECTS} redirects")
        except TimeoutError:
            raise CallFailed(f"no answer within {timeout:.3g} s") from None

    async def _once(
        self,
        method: str,
        url: URL,
        headers: CIMultiDict[str],
        body: bytes | None,
        tls: ssl.SSLContext | None,
        limit: int,
        listed: bool,
    ) -> tuple[Answer, URL | None]:
        """One exchange, and where it is redirected to."""
        assert self._session is not None, "used outside its context"
        try:
            self.reach.check_url(url) if listed else self.reach.check_host(url.host or "")
            async with self._session.request(
                method,
                url,
                headers=headers,
                data=body,
                ssl=tls or system_trust(),
                allow_redirects=False,
                timeout=aiohttp.ClientTimeout(total=None),
            ) as response:
                if response.status in REDIRECTS and "Location" in response.headers:
                    target = url.join(URL(response.headers["Location"]))
                    return Answer(response.status, response.headers, b""), target
                if not 200 <= response.status < 300:
                    text = (await _read(response, limit, cut=200)).decode(errors="replace")
                    raise CallFailed(
                        f"HTTP {response.status} {response.reason}: {' '.join(text.split())}".rstrip(": "),
                        status=response.status,
                        challenge=", ".join(response.headers.getall("WWW-Authenticate", [])),
                    )
                return Answer(response.status, response.headers, await _read(response, limit)), None
        except OutOfReach as refused:
            raise CallFailed(f"not called: {refused}") from refused
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise CallFailed(_reason(error)) from error

    def _socket(self, info: Any) -> socket:
        """The socket of one connection. The address it gets is the one that was checked: no name is resolved after this."""
        family, kind, protocol, _, address = info
        try:
            self.reach.check_address(ip_address(str(address[0]).partition("%")[0]))
        except OutOfReach as refused:
            raise _Refused(str(refused)) from refused
        return socket(family, kind, protocol)


class _Refused(OSError):
    """A refused address, in the form in which aiohttp hands errors of sockets on."""


@lru_cache(1)
def system_trust() -> ssl.SSLContext:
    """TLS that believes the authorities of the system."""
    return ssl.create_default_context()


@lru_cache(32)
def trust(bundle: str) -> ssl.SSLContext:
    """TLS that believes the PEM certificates of `bundle` and nobody else. Raises `CallFailed`."""
    try:
        return ssl.create_default_context(cadata=bundle)
    except (ssl.SSLError, ValueError) as error:
        raise CallFailed("caBundle holds no PEM certificates") from error


@lru_cache(1)
def no_trust() -> ssl.SSLContext:
    """TLS that believes anybody: for registries that a policy calls insecure."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


def shown(url: URL) -> str:
    """The URL for messages: without user, password and query, which may be secret."""
    plain = url.with_user(None).with_query(None).with_fragment(None) if url.host else url
    return f"{plain}?…" if url.query_string else str(plain)


def _same_place(url: URL, target: URL) -> bool:
    if (url.host, url.port, url.scheme) == (target.host, target.port, target.scheme):
        return True
    return url.host == target.host and (url.scheme, target.scheme) == ("http", "https")


async def _read(response: aiohttp.ClientResponse, limit: int, *, cut: int = 0) -> bytes:
    """The body; with `cut` its first bytes. What Content-Length says is not believed: bytes are counted as they come."""
    parts: list[bytes] = []
    size = 0
    async for part in response.content.iter_chunked(65_536):
        parts.append(part)
        size += len(part)
        if cut and size >= cut:
            return b"".join(parts)[:cut]
        if size > limit:
            raise CallFailed(f"the answer is longer than {limit} bytes", status=response.status)
    return b"".join(parts)


def _reason(error: Exception) -> str:
    """One line of an error of aiohttp, without the host and address that it may name."""
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return f"the certificate is not trusted: {getattr(error.certificate_error, 'verify_message', error.certificate_error)}"
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return "the host name is not known"
    if isinstance(error, ClientConnectorError):
        return _of_socket(error.os_error)
    if isinstance(error, aiohttp.ServerDisconnectedError):
        return "the server hung up without an answer"
    return " ".join(str(error).split()) or type(error).__name__


def _of_socket(error: OSError) -> str:
    if isinstance(error, _Refused) or "is in --httpBlocklist" in str(error):
        return f"not called: {error}"
    return error.strerror or " ".join(str(error).split())
