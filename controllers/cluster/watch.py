"""Following a collection: list, then watch, for ever.

kopf's own watches are not used: `on.event` does not say where a list ends, so an object deleted while the connection was
down would live on in memory (docs/decisions/0002).
"""

from __future__ import annotations

import asyncio
import gc
import logging
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Literal

import aiohttp
import orjson

from controllers.cluster.client import ApiError, Client, Unreachable

Object = dict[str, Any]
PAGE = 500
SERVER_TIMEOUT = 290
"""Seconds after which the API server is asked to end a watch."""
IDLE = 75.0
"""Seconds without a byte after which a connection counts as dead; bookmarks come once a minute."""
PATIENT = ("/events",)
"""Ends of paths whose watches may be silent for long: the API server keeps events out of its cache and sends no bookmarks."""
MAX_LINE = 64 * 1024 * 1024
logger = logging.getLogger("pyvern.watch")


@dataclass(frozen=True, slots=True)
class Target:
    """A collection to follow: `path` such as `/api/v1/namespaces`; `metadata`: only metadata is transferred."""

    path: str
    label_selector: str = ""
    field_selector: str = ""
    metadata: bool = False

    def params(self) -> dict[str, str]:
        named = {"labelSelector": self.label_selector, "fieldSelector": self.field_selector}
        return {name: value for name, value in named.items() if value}

    def accept(self, what: str) -> str:
        return f"application/json;as={what};g=meta.k8s.io;v=v1" if self.metadata else "application/json"


@dataclass(frozen=True, slots=True)
class Listed:
    """The whole collection; whatever else was known of it is gone."""

    objects: tuple[Object, ...]


@dataclass(frozen=True, slots=True)
class Changed:
    """One object was added, modified or deleted."""

    type: Literal["ADDED", "MODIFIED", "DELETED"]
    object: Object


@dataclass(frozen=True, slots=True)
class Page:
    """Some objects of a list that comes in pages; after the `last` one, whatever was on none of them is gone.

    `version` is the resourceVersion of the list. `named`: the API server itself wrote apiVersion and kind into each object
    (as it does for custom resources), otherwise they were added.
    """

    objects: tuple[Object, ...]
    first: bool
    last: bool
    version: str = ""
    named: bool = False


Event = Listed | Changed
PagedEvent = Page | Changed


async def follow(client: Client, target: Target, handle: Callable[[Event], Awaitable[None] | None]) -> None:
    """Hands every change of `target` to `handle` until cancelled; errors of the API server are retried with back-off.

    A watch that ends is resumed where it stopped; 410 starts over with a list. Every list is handed over whole, so that
    the receiver drops what vanished meanwhile.
    """

    async def listing() -> str:
        listed, version = await list_all(client, target)
        await _hand(handle, Listed(listed))
        return version

    await _follow(client, target, listing, handle)


async def follow_pages(
    client: Client,
    target: Target,
    handle: Callable[[PagedEvent], Awaitable[None] | None],
    *,
    failing: Callable[[Exception], object] = lambda error: None,
    healed: Callable[[], None] = lambda: None,
) -> None:
    """As `follow`, for collections too big to be held: lists are handed over page by page, each forgotten after it.

    `failing` hears of every error before the next try; what it raises ends the watch, and what it says it has told
    of (true) is not logged. `healed` is called when
    the watch stands again after errors.
    """

    async def listing() -> str:
        version = ""
        async for page, version in pages(client, target):  # noqa: B007  the last one counts
            await _hand(handle, page)
        return version

    await _follow(client, target, listing, handle, failing, healed)


async def _follow(
    client: Client,
    target: Target,
    listing: Callable[[], Awaitable[str]],
    handle: Callable[[Any], Awaitable[None] | None],
    failing: Callable[[Exception], object] = lambda error: None,
    healed: Callable[[], None] = lambda: None,
) -> None:
    attempt = 0
    version = ""
    while True:
        try:
            if not version:
                version = await listing()
            async for seen, event in _watch(client, target, version):
                version = seen
                if attempt:
                    healed()
                attempt = 0
                if event is not None:
                    await _hand(handle, event)
            attempt = 0
        except ApiError as error:
            attempt += 1
            if error.gone or error.status in (400, 404):
                version = ""
            if not error.gone:
                told = failing(error)
                _complain(target, error, attempt, told=bool(told))
        except Unreachable as error:
            attempt += 1
            told = failing(error)
            _complain(target, error, attempt, told=bool(told))
        await asyncio.sleep(backoff(attempt))


def backoff(attempt: int, *, ceiling: float = 10.0) -> float:
    """Seconds to wait before try number `attempt` (0: nothing failed): exponential with full jitter."""
    if attempt <= 0:
        return random.uniform(0.0, 0.05)
    return random.uniform(0.1, min(ceiling, 0.25 * 2.0 ** min(attempt, 10)))


async def list_all(client: Client, target: Target, *, size: int = PAGE) -> tuple[tuple[Object, ...], str]:
    """All objects and the resourceVersion to watch from, page by page. Raises ApiError (410: the list took too long)."""
    objects: list[Object] = []
    version = ""
    async for page, version in pages(client, target, size=size):  # noqa: B007  the last one counts
        objects.extend(page.objects)
    return tuple(objects), version


async def pages(client: Client, target: Target, *, size: int = PAGE) -> AsyncIterator[tuple[Page, str]]:
    """The objects of a collection, `size` at a time, and the resourceVersion of the list. Raises ApiError and Unreachable."""
    token = ""
    first = True
    while True:
        params = {**target.params(), "limit": str(size), **({"continue": token} if token else {})}
        data = await client.raw("GET", target.path, params=params, accept=target.accept("PartialObjectMetadataList"))
        gc.disable()
        try:
            page = orjson.loads(data)
        finally:
            gc.enable()
        del data
        kind = str(page.get("kind") or "").removesuffix("List")
        items = page.get("items") or []
        named = bool(items) and "kind" in items[0]
        for item in items:
            if not target.metadata:
                item.setdefault("apiVersion", page.get("apiVersion"))
                item.setdefault("kind", kind)
            _lean(item)
        metadata = page.get("metadata") or {}
        token = metadata.get("continue") or ""
        version = metadata.get("resourceVersion") or ""
        yield Page(tuple(items), first, not token, version, named), version
        first = False
        if not token:
            return


async def _watch(client: Client, target: Target, version: str) -> AsyncIterator[tuple[str, Changed | None]]:
    params = {
        **target.params(),
        "watch": "1",
        "allowWatchBookmarks": "true",
        "resourceVersion": version,
        "timeoutSeconds": str(SERVER_TIMEOUT + random.randint(0, 30)),
    }
    idle = SERVER_TIMEOUT + IDLE if target.path.endswith(PATIENT) else IDLE
    async with client.stream(target.path, params=params, accept=target.accept("PartialObjectMetadata"), idle=idle) as body:
        yield version, None
        async for line in _lines(body):
            event = orjson.loads(line)
            kind, document = event["type"], event["object"]
            if kind == "ERROR":
                raise ApiError(int(document.get("code") or 500), str(document.get("reason")), str(document.get("message")))
            seen = (document.get("metadata") or {}).get("resourceVersion") or ""
            yield seen, None if kind == "BOOKMARK" else Changed(kind, _lean(document))


def _lean(document: Object) -> Object:
    """Without the bookkeeping of server-side apply, often the larger half of an object that is kept."""
    metadata = document.get("metadata")
    if metadata is not None:
        metadata.pop("managedFields", None)
    return document


async def _lines(body: aiohttp.StreamReader) -> AsyncIterator[bytes]:
    """Lines of any length up to MAX_LINE; aiohttp's own `readline` gives up at 128 KiB."""
    parts: list[bytes] = []
    size = 0
    async for chunk, _ in body.iter_chunks():
        start = 0
        while (end := chunk.find(b"\n", start)) >= 0:
            parts.append(chunk[start:end])
            yield b"".join(parts)
            parts.clear()
            size = 0
            start = end + 1
        if start < len(chunk):
            parts.append(chunk[start:])
            size += len(chunk) - start
            if size > MAX_LINE:
                raise Unreachable("a watch event is longer than 64 MiB")


async def _hand(handle: Callable[[Any], Awaitable[None] | None], event: Event | PagedEvent) -> None:
    waiting = handle(event)
    if waiting is not None:
        await waiting


def _complain(target: Target, error: Exception, attempt: int, *, told: bool) -> None:
    level = logging.WARNING if not told and (attempt in (1, 5) or attempt % 20 == 0) else logging.DEBUG
    logger.log(level, "watch of %s: %s (try %d)", target.path, error, attempt)
