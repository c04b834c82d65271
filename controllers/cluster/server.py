"""The TLS server: bytes in, bytes out. Nothing outside this module knows that it is granian.

granian runs HTTP and TLS in Rust threads and calls us on the process's own event loop (RSGI). What it does and does not do
was tried out and is written down in docs/decisions/0003.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from granian.constants import HTTPModes, Interfaces, SSLProtocols
from granian.http import HTTP1Settings, HTTP2Settings
from granian.rsgi import ProtocolClosed, ProtocolError  # type: ignore[attr-defined]  # its documented home
from granian.server.embed import Server as Granian

from controllers.cluster.failure import CannotStart
from controllers.cluster.pair import Pair

Respond = Callable[[str, str, str, bytes], Awaitable[tuple[int, bytes]]]
"""(method, path, query, body) -> (status, JSON body)."""

MAX_BODY = 16 * 1024 * 1024
"""An AdmissionReview holds at most two objects of 3 MiB and what surrounds them."""
BODY_PATIENCE = 30.0
"""Seconds a client may take to send its body; the API server itself never waits longer for an answer."""
CONNECTIONS = 16384
"""Connections served at a time; granian's default, the backlog, lets 1,024 idle clients lock everybody out."""
HEADERS = [("content-type", "application/json")]
SHARED_MEMORY = Path("/dev/shm")
logger = logging.getLogger("pyvern.server")


class PortTaken(CannotStart):
    """Another process listens on the port."""


class WebhookServer:
    """One listening port. `run` serves until cancelled; `stop` lets requests in flight finish first."""

    def __init__(self, respond: Respond, *, host: str, port: int) -> None:
        self._respond = respond
        self._host = host
        self._port = port
        self._files = _CertificateFiles()
        self._granian: Granian | None = None
        self._task: asyncio.Task[None] | None = None
        self._idle = asyncio.Event()
        self._idle.set()
        self.in_flight = 0

    def try_port(self) -> None:
        """Raises `PortTaken` when another process has it."""
        _refuse_taken(self._host, self._port)

    async def start(self, pair: Pair) -> None:
        """Begins to serve. Raises `PortTaken`."""
        self.try_port()
        self._files.write(pair)
        self._granian = Granian(
            self._handle,
            address=self._host or "0.0.0.0",
            port=self._port,
            interface=Interfaces.RSGI,
            http=HTTPModes.auto,
            websockets=False,
            backlog=1024,
            backpressure=CONNECTIONS,
            runtime_threads=1,
            runtime_blocking_threads=2,
            http1_settings=HTTP1Settings(header_read_timeout=30_000),
            http2_settings=HTTP2Settings(max_concurrent_streams=1000, keep_alive_interval=30_000, keep_alive_timeout=20),
            log_enabled=False,
            ssl_cert=self._files.certificate,
            ssl_key=self._files.key,
            ssl_protocol_min=SSLProtocols.tls12,
        )
        self._task = asyncio.create_task(self._granian.serve(), name="webhook server")

    async def wait(self) -> None:
        """Returns when the server has ended, raises what ended it."""
        assert self._task is not None
        await asyncio.shield(self._task)

    def renew(self, pair: Pair) -> None:
        """New connections get the new certificate; those that are open stay until their requests are answered."""
        if self._files.write(pair) and self._granian is not None:
            self._granian.reload()  # type: ignore[no-untyped-call]
            logger.info("serving a new certificate")

    async def stop(self, *, patience: float) -> None:
        """Accepts nothing more and waits up to `patience` seconds for the requests in flight."""
        if self._granian is None or self._task is None or self._task.done():
            return
        self._granian.stop()  # type: ignore[no-untyped-call]
        try:
            await asyncio.wait_for(self._idle.wait(), patience)
        except TimeoutError:
            logger.warning("%d requests were still in flight after %.0f s", self.in_flight, patience)
        done, _ = await asyncio.wait([self._task], timeout=2)
        if not done:
            self._task.cancel()
        self._files.close()

    async def _handle(self, scope: Any, protocol: Any) -> None:
        self.in_flight += 1
        self._idle.clear()
        try:
            async with asyncio.timeout(BODY_PATIENCE):
                body = await _body(scope, protocol)
            if body is None:
                status, answer = 413, b'{"error":"the body is longer than 16 MiB"}'
            else:
                status, answer = await self._respond(scope.method, scope.path, scope.query_string, body)
            protocol.response_bytes(status, HEADERS, answer)
        except (ProtocolClosed, ProtocolError, TimeoutError) as error:
            logger.debug("client went away or fell asleep: %s", error)
        except Exception:  # the one place where our own bugs end: logged, and the client sees an error
            logger.exception("%s %s failed", scope.method, scope.path)
            protocol.response_bytes(500, HEADERS, b'{"error":"internal error, see the log"}')
        finally:
            self.in_flight -= 1
            if not self.in_flight:
                self._idle.set()


async def _body(scope: Any, protocol: Any) -> bytes | None:
    """The request's body; None when it is too long."""
    length = scope.headers.get("content-length")
    if length is not None and length.isdigit() and int(length) <= MAX_BODY:
        body: bytes = await protocol()
        return body
    return await _bounded(protocol)


async def _bounded(protocol: AsyncIterator[bytes]) -> bytes | None:
    """The body of a request that does not say how long it is, or says too much; None when it is too long."""
    parts: list[bytes] = []
    size = 0
    async for part in protocol:
        size += len(part)
        if size > MAX_BODY:
            return None
        parts.append(bytes(part))
    return b"".join(parts)


class _CertificateFiles:
    """The pair as two files, in memory where the machine has /dev/shm, readable by us alone."""

    def __init__(self) -> None:
        self._stack = ExitStack()
        self._current: Pair | None = None
        place = SHARED_MEMORY if os.access(SHARED_MEMORY, os.W_OK) else None
        folder = Path(self._stack.enter_context(tempfile.TemporaryDirectory(prefix="pyvern-tls-", dir=place)))
        self.certificate = folder / "tls.crt"
        self.key = folder / "tls.key"

    def write(self, pair: Pair) -> bool:
        """Did it change anything?"""
        if pair == self._current:
            return False
        for path, content in ((self.certificate, pair.certificate), (self.key, pair.key)):
            fresh = path.with_suffix(".new")
            with open(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
                file.write(content)
            fresh.replace(path)
        self._current = pair
        return True

    def close(self) -> None:
        self._stack.close()


def _refuse_taken(host: str, port: int) -> None:
    """granian listens with SO_REUSEPORT: two processes on one port would share the connections and nobody would notice."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host or "0.0.0.0", port))
            probe.listen(1)
        except OSError as error:
            raise PortTaken(f"cannot listen on {host or '0.0.0.0'}:{port}: {error.strerror}; use another port") from error
