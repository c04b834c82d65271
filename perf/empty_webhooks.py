"""Empty webhook servers to compare with: they know no policy, deny every review, and under /mutate add always the same label.

python -m perf.empty_webhooks aiohttp|granian PORT CERTIFICATE KEY
"""

from __future__ import annotations

import asyncio
import base64
import ssl
import sys
from collections.abc import Callable
from typing import Any

import orjson
import uvloop

PATCH = base64.b64encode(b'[{"op":"add","path":"/metadata/labels/team","value":"load"}]').decode()
ANSWERS: dict[bool, dict[str, Any]] = {
    False: {"allowed": False, "status": {"status": "Failure", "message": "no"}},
    True: {"allowed": True, "patchType": "JSONPatch", "patch": PATCH},
}
"""By whether the webhook mutates."""


def answer(body: bytes, path: str) -> bytes:
    uid = orjson.loads(body)["request"]["uid"]
    response = {"uid": uid, **ANSWERS[path.startswith("/mutate")]}
    return orjson.dumps({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": response})


async def serve_aiohttp(port: int, certificate: str, key: str) -> None:
    from aiohttp import web

    async def handle(request: web.Request) -> web.Response:
        return web.Response(body=answer(await request.read(), request.path), content_type="application/json")

    application = web.Application(client_max_size=8 << 20)
    application.router.add_post("/{path:.*}", handle)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, key)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port, ssl_context=context, backlog=1024).start()
    await asyncio.Event().wait()


async def serve_granian(port: int, certificate: str, key: str) -> None:
    from pathlib import Path

    from granian.constants import Interfaces
    from granian.server.embed import Server

    async def handle(scope: Any, protocol: Any) -> None:
        protocol.response_bytes(200, [("content-type", "application/json")], answer(await protocol(), scope.path))

    server = Server(
        handle,
        address="127.0.0.1",
        port=port,
        interface=Interfaces.RSGI,
        backlog=1024,
        ssl_cert=Path(certificate),
        ssl_key=Path(key),
    )
    await server.serve()


SERVERS: dict[str, Callable[[int, str, str], Any]] = {"aiohttp": serve_aiohttp, "granian": serve_granian}

if __name__ == "__main__":
    kind, port, certificate, key = sys.argv[1:]
    uvloop.run(SERVERS[kind](int(port), certificate, key))
