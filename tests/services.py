"""A service that policies call in tests: a real HTTP server of the test process, on loopback, good and bad by path."""

from __future__ import annotations

import asyncio
import ssl
import threading
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiohttp import web


@dataclass
class Service:
    """`base` is `http://127.0.0.1:PORT` or https; `calls` are (method, path with query, headers, body) in order."""

    base: str = ""
    calls: list[tuple[str, str, dict[str, str], str]] = field(default_factory=list)

    def count(self, path: str) -> int:
        """How often a path was called."""
        return sum(called.partition("?")[0] == path for _, called, _, _ in self.calls)


async def _hang(_: web.Request) -> web.StreamResponse:
    await asyncio.sleep(120)
    return web.Response()


async def _trickle(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse()
    await response.prepare(request)
    while True:
        await response.write(b" ")
        await asyncio.sleep(0.1)


async def _large(request: web.Request) -> web.StreamResponse:
    """10 MB of JSON; nothing says so before it comes."""
    response = web.StreamResponse(headers={"Content-Type": "application/json"})
    response.enable_chunked_encoding()
    await response.prepare(request)
    await response.write(b'["')
    for _ in range(100):
        await response.write(b"x" * 100_000)
    await response.write(b'"]')
    return response


async def _reset(request: web.Request) -> web.StreamResponse:
    assert request.transport is not None
    request.transport.abort()
    return web.Response()


async def _echo(request: web.Request) -> web.StreamResponse:
    return web.json_response({"method": request.method, "query": dict(request.query), "body": await request.text()})


async def _moved(request: web.Request) -> web.StreamResponse:
    raise web.HTTPFound(request.query["to"])


async def _slow(_: web.Request) -> web.StreamResponse:
    await asyncio.sleep(0.3)
    return web.json_response({"slow": True})


Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
PATHS: Mapping[str, Handler] = {
    "/echo": _echo,
    "/hang": _hang,
    "/trickle": _trickle,
    "/large": _large,
    "/reset": _reset,
    "/moved": _moved,
    "/slow": _slow,
}


@contextmanager
def service(keys: Path | None = None, paths: Mapping[str, Handler] = PATHS) -> Iterator[Service]:
    """Serves `paths` until the end of the block; with `keys` (`server.crt`, `server.key`) over TLS."""
    served = Service()
    started = threading.Event()
    loop = asyncio.new_event_loop()

    @web.middleware
    async def note(request: web.Request, handler: Any) -> web.StreamResponse:
        served.calls.append((request.method, request.path_qs, dict(request.headers), await request.text()))
        answer: web.StreamResponse = await handler(request)
        return answer

    async def other(request: web.Request) -> web.StreamResponse:
        status = request.path.strip("/")
        if status.isdigit():
            return web.Response(status=int(status), text=f"no luck\nwith {status}")
        return web.Response(text="<html>hello</html>", content_type="text/html")

    async def main() -> web.AppRunner:
        app = web.Application(middlewares=[note], client_max_size=10_000_000)
        for path, handler in paths.items():
            app.router.add_route("*", path, handler)
        app.router.add_route("*", "/{other:.*}", other)
        context = None
        if keys is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(keys / "server.crt", keys / "server.key")
        runner = web.AppRunner(app, shutdown_timeout=0)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
        served.base = f"http{'s' if keys else ''}://127.0.0.1:{runner.addresses[0][1]}"
        started.set()
        return runner

    def run() -> None:
        asyncio.set_event_loop(loop)
        runner = loop.run_until_complete(main())
        loop.run_forever()
        loop.run_until_complete(runner.cleanup())
        loop.close()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    started.wait(10)
    try:
        yield served
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
