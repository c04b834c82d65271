"""The network between a client and the API server, where it can break."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

from controllers.cluster.client import Client
from controllers.cluster.credentials import Credentials


class Line:
    """A TCP proxy that passes bytes on, unread. `tried` counts the connections that were asked for, whole line or cut."""

    def __init__(self, server: str) -> None:
        self._far = urlsplit(server)
        self._open: set[asyncio.StreamWriter] = set()
        self._whole = True
        self.tried = 0

    def cut(self) -> None:
        """Every connection is reset, and every new one until the line is mended."""
        self._whole = False
        for writer in self._open:
            writer.transport.abort()

    def mend(self) -> None:
        self._whole = True

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection."""
        self.tried += 1
        self._open.add(writer)
        try:
            if self._whole:
                far_reader, far_writer = await asyncio.open_connection(self._far.hostname, self._far.port)
                await asyncio.gather(_copy(reader, far_writer), _copy(far_reader, writer))
        except OSError:
            pass  # one end is gone: so is the other, below
        finally:
            self._open.discard(writer)
            writer.transport.abort()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    finally:
        writer.transport.abort()


@asynccontextmanager
async def line(credentials: Credentials) -> AsyncIterator[tuple[Line, Client]]:
    """A line to the API server and a client that has no other way there."""
    between = Line(credentials.server)
    async with await asyncio.start_server(between.accept, "127.0.0.1", 0) as listener:
        port = listener.sockets[0].getsockname()[1]
        async with Client(replace(credentials, server=f"https://127.0.0.1:{port}")) as client:
            yield between, client
        between.cut()


async def until(done: Callable[[], Any], *, timeout: float = 30.0) -> None:
    """Until `done()`; that it never happens is the only failure."""
    async with asyncio.timeout(timeout):
        while not done():
            await asyncio.sleep(0.02)
