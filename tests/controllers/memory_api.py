"""A small API server in memory: lists, watches, versions and conflicts, as controllers see them. It knows no schemas."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

from aiohttp import web

from controllers.cluster.client import Client
from controllers.cluster.credentials import Credentials

Object = dict[str, Any]


class Place(NamedTuple):
    """Where an object or a collection is: `group/version`, plural, namespace, name."""

    api: str
    plural: str
    namespace: str
    name: str


def place(path: str) -> Place:
    parts = path.strip("/").split("/")
    api, rest = (parts[1], parts[2:]) if parts[0] == "api" else ("/".join(parts[1:3]), parts[3:])
    namespace = ""
    if rest[0] == "namespaces" and len(rest) > 2:
        namespace, rest = rest[1], rest[2:]
    return Place(api, rest[0], namespace, rest[1] if len(rest) > 1 else "")


class MemoryApi:
    """The objects and who watches them. `requests` counts verbs and plurals; `refusing`: plural -> HTTP status of its answers."""

    def __init__(self) -> None:
        self.objects: dict[Place, Object] = {}
        self.requests: Counter[tuple[str, str]] = Counter()
        self.refusing: dict[str, int] = {}
        self._version = 1
        self._watchers: list[tuple[Place, asyncio.Queue[Object]]] = []

    @asynccontextmanager
    async def serve(self) -> AsyncIterator[Client]:
        """A client of this server."""
        application = web.Application(client_max_size=10_000_000)
        application.router.add_route("*", "/{path:.*}", self._answer)
        runner = web.AppRunner(application, handler_cancellation=True, shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        try:
            async with Client(Credentials(server=f"http://127.0.0.1:{runner.addresses[0][1]}")) as client:
                yield client
        finally:
            await runner.cleanup()

    def put(self, path: str, document: Object) -> Object:
        """Creates or replaces an object behind everybody's back; its uid stays."""
        at = place(path)
        before = self.objects.get(at)
        self._version += 1
        metadata = {**document.get("metadata", {}), "name": at.name, "resourceVersion": str(self._version)}
        if at.namespace:
            metadata["namespace"] = at.namespace
        metadata.setdefault("uid", before["metadata"]["uid"] if before else str(uuid.uuid4()))
        metadata.setdefault("creationTimestamp", "2026-01-01T00:00:00Z")
        grown = before is not None and {**before, "metadata": 0} != {**document, "metadata": 0}
        metadata["generation"] = (before["metadata"]["generation"] if before else 1) + grown
        stored = {**document, "metadata": metadata}
        self.objects[at] = stored
        self._tell(at, "MODIFIED" if before else "ADDED", stored)
        return stored

    def remove(self, path: str) -> None:
        """Deletes an object behind everybody's back."""
        at = place(path)
        self._version += 1
        gone = self.objects.pop(at)
        self._tell(at, "DELETED", {**gone, "metadata": {**gone["metadata"], "resourceVersion": str(self._version)}})

    def all(self, plural: str) -> list[Object]:
        """The objects of that plural, in all namespaces."""
        return [document for at, document in self.objects.items() if at.plural == plural]

    def _tell(self, at: Place, kind: str, document: Object) -> None:
        for watched, queue in self._watchers:
            if watched.api == at.api and watched.plural == at.plural and watched.namespace in ("", at.namespace):
                queue.put_nowait({"type": kind, "object": document})

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        at = place(request.path)
        watching = "watch" in request.query
        verb = "WATCH" if watching else ("LIST" if request.method == "GET" and not at.name else request.method)
        self.requests[verb, at.plural] += 1
        if at.plural in self.refusing:
            return _status(self.refusing[at.plural])
        if watching:
            return await self._watch(request, at)
        if verb == "LIST":
            return self._list(request, at)
        body = await request.json() if request.can_read_body else None
        return getattr(self, f"_{verb.lower()}")(at, body)  # type: ignore[no-any-return]

    def _list(self, request: web.Request, at: Place) -> web.Response:
        found = [
            document
            for other, document in self.objects.items()
            if other.api == at.api and other.plural == at.plural and at.namespace in ("", other.namespace)
        ]
        start, limit = int(request.query.get("continue") or 0), int(request.query.get("limit") or 1000)
        rest = len(found) - start - limit
        metadata: Object = {"resourceVersion": str(self._version)}
        if rest > 0:
            metadata |= {"continue": str(start + limit), "remainingItemCount": rest}
        return web.json_response(
            {"kind": "List", "apiVersion": at.api, "metadata": metadata, "items": found[start : start + limit]}
        )

    async def _watch(self, request: web.Request, at: Place) -> web.StreamResponse:
        queue: asyncio.Queue[Object] = asyncio.Queue()
        since = int(request.query.get("resourceVersion") or 0)
        self._watchers.append((at, queue))
        for other, document in self.objects.items():  # what changed between the list and now
            if other.api == at.api and other.plural == at.plural and int(document["metadata"]["resourceVersion"]) > since:
                queue.put_nowait({"type": "ADDED", "object": document})
        response = web.StreamResponse()
        await response.prepare(request)
        try:
            while True:
                await response.write(json.dumps(await queue.get()).encode() + b"\n")
        finally:
            self._watchers = [entry for entry in self._watchers if entry[1] is not queue]

    def _get(self, at: Place, _: Object | None) -> web.Response:
        found = self.objects.get(at)
        return web.json_response(found) if found else _status(404)

    def _post(self, at: Place, body: Object) -> web.Response:
        metadata = body["metadata"]
        name = metadata.get("name") or metadata["generateName"] + uuid.uuid4().hex[:5]
        there = at._replace(name=name)
        if there in self.objects:
            return _status(409)
        within = f"/namespaces/{at.namespace}" if at.namespace else ""
        return web.json_response(self.put(f"/apis/{at.api}{within}/{at.plural}/{name}", body))

    def _put(self, at: Place, body: Object) -> web.Response:
        before = self.objects.get(at)
        if before is None:
            return _status(404)
        if body["metadata"].get("resourceVersion") not in (None, before["metadata"]["resourceVersion"]):
            return _status(409)
        return web.json_response(self._store(at, body))

    def _patch(self, at: Place, body: Object) -> web.Response:
        before = self.objects.get(at)
        return _status(404) if before is None else web.json_response(self._store(at, _merged(before, body)))

    def _delete(self, at: Place, body: Object | None) -> web.Response:
        before = self.objects.get(at)
        if before is None:
            return _status(404)
        wanted = ((body or {}).get("preconditions") or {}).get("resourceVersion")
        if wanted not in (None, before["metadata"]["resourceVersion"]):
            return _status(409)
        self.remove(self._path(at))
        return web.json_response({})

    def _store(self, at: Place, body: Object) -> Object:
        return self.put(self._path(at), body)

    def _path(self, at: Place) -> str:
        base = f"/apis/{at.api}" if "/" in at.api else f"/api/{at.api}"
        within = f"/namespaces/{at.namespace}" if at.namespace else ""
        return f"{base}{within}/{at.plural}/{at.name}"


def _merged(base: Any, patch: Any) -> Any:
    if not isinstance(patch, dict):
        return patch
    base = base if isinstance(base, dict) else {}
    return {
        name: value
        for name, value in {**base, **{k: _merged(base.get(k), v) for k, v in patch.items()}}.items()
        if value is not None
    }


def _status(code: int) -> web.Response:
    reason = {403: "Forbidden", 404: "NotFound", 409: "Conflict"}.get(code, "InternalError")
    return web.json_response({"kind": "Status", "code": code, "reason": reason, "message": reason}, status=code)
