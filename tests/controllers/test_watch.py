"""Following a collection on a server of our own: relists, resumption, 410, long lines."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from aiohttp import web

from controllers.cluster.client import Client
from controllers.cluster.credentials import Credentials
from controllers.cluster.watch import Changed, Event, Listed, Target, follow


class Collection:
    """Answers lists page by page and watches from a script: each watch gets the next list of lines, then ends."""

    def __init__(self, pages: list[list[str]], watches: list[list[dict[str, Any]]]) -> None:
        self.pages = pages
        self.watches = watches
        self.asked: list[dict[str, str]] = []

    async def answer(self, request: web.Request) -> web.StreamResponse:
        query = dict(request.query)
        self.asked.append(query)
        if "watch" not in query:
            page = int(query.get("continue") or 0)
            token = {"continue": str(page + 1)} if page + 1 < len(self.pages) else {}
            items = [{"metadata": {"name": name, "managedFields": []}} for name in self.pages[page]]
            return web.json_response(
                {"kind": "FooList", "apiVersion": "v1", "metadata": {"resourceVersion": "7", **token}, "items": items}
            )
        response = web.StreamResponse()
        await response.prepare(request)
        if not self.watches:
            await asyncio.sleep(60)
        for line in self.watches.pop(0):
            await response.write(json.dumps(line).encode() + b"\n")
        return response


def event(kind: str, name: str, version: str, **more: Any) -> dict[str, Any]:
    return {"type": kind, "object": {"metadata": {"name": name, "resourceVersion": version, **more}}}


def seen(collection: Collection, count: int) -> list[Event]:
    """The first `count` events of following the collection."""

    async def run() -> list[Event]:
        application = web.Application()
        application.router.add_get("/foos", collection.answer)
        runner = web.AppRunner(application, handler_cancellation=True, shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        port = runner.addresses[0][1]
        events: list[Event] = []
        enough = asyncio.Event()

        def handle(event: Event) -> None:
            events.append(event)
            if len(events) >= count:
                enough.set()

        async with Client(Credentials(server=f"http://127.0.0.1:{port}")) as client:
            task = asyncio.create_task(follow(client, Target("/foos"), handle))
            await asyncio.wait_for(enough.wait(), 20)
            task.cancel()
            await asyncio.wait([task])
        await runner.cleanup()
        return events

    return asyncio.run(run())


def test_all_pages_are_one_list_without_bookkeeping() -> None:
    (listed,) = seen(Collection([["a"], ["b"], ["c"]], []), 1)
    assert isinstance(listed, Listed)
    assert [item["metadata"] for item in listed.objects] == [{"name": name} for name in "abc"]
    assert {item["kind"] for item in listed.objects} == {"Foo"}


def test_a_watch_that_ends_is_resumed_where_it_stopped() -> None:
    collection = Collection([["a"]], [[event("ADDED", "b", "8"), event("BOOKMARK", "", "9")], [event("DELETED", "a", "10")]])
    _, added, deleted = seen(collection, 3)
    assert isinstance(added, Changed)
    assert isinstance(deleted, Changed)
    assert (added.type, deleted.type) == ("ADDED", "DELETED")
    assert [query["resourceVersion"] for query in collection.asked if "watch" in query][:2] == ["7", "9"]


def test_a_version_that_is_too_old_means_a_new_list() -> None:
    gone = {"type": "ERROR", "object": {"kind": "Status", "code": 410, "reason": "Expired", "message": "too old"}}
    first, second = seen(Collection([["a"]], [[gone]]), 2)
    assert isinstance(first, Listed)
    assert isinstance(second, Listed)


def test_events_may_be_longer_than_any_buffer() -> None:
    long = event("MODIFIED", "a", "8", annotations={"x": "y" * 1_000_000})
    _, changed = seen(Collection([["a"]], [[long]]), 2)
    assert isinstance(changed, Changed)
    assert len(changed.object["metadata"]["annotations"]["x"]) == 1_000_000


def test_a_server_that_is_away_is_asked_again() -> None:
    async def run() -> bool:
        async with Client(Credentials(server="http://127.0.0.1:1")) as client:
            task = asyncio.create_task(follow(client, Target("/foos"), lambda _: None))
            await asyncio.sleep(0.5)
            alive = not task.done()
            task.cancel()
            await asyncio.wait([task])
            return alive

    assert asyncio.run(run())
