"""Following a collection of the API server: relists, resumption, 410, long lines."""

from __future__ import annotations

import asyncio
import json
import urllib.request
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

from controllers.cluster.client import Client
from controllers.cluster.credentials import Credentials
from controllers.cluster.watch import Changed, Event, Listed, Target, follow, list_all, pages
from deploy.local.control_plane import ControlPlane
from tests.controllers.line import Line, line, until

LABEL = {"followed": "yes"}


def followed(namespace: str, plural: str = "configmaps") -> Target:
    return Target(f"/api/v1/namespaces/{namespace}/{plural}", label_selector="followed=yes")


def config_map(name: str, **annotations: str) -> dict[str, Any]:
    return {"metadata": {"name": name, "labels": LABEL, "annotations": annotations}, "data": {"a": "b"}}


class Following(NamedTuple):
    """A follower whose line can be cut, and a client with a line of its own."""

    events: list[Event]
    network: Line
    client: Client

    def names(self) -> list[Any]:
        """What a list holds; of a change its type and name."""
        return [
            sorted(item["metadata"]["name"] for item in event.objects)
            if isinstance(event, Listed)
            else (event.type, event.object["metadata"]["name"])
            for event in self.events
        ]


@asynccontextmanager
async def following(credentials: Credentials, target: Target, *, cut: bool = False) -> AsyncIterator[Following]:
    events: list[Event] = []
    async with Client(credentials) as client, line(credentials) as (network, far):
        if cut:
            network.cut()
        task = asyncio.create_task(follow(far, target, events.append))
        try:
            yield Following(events, network, client)
        finally:
            task.cancel()
            await asyncio.wait([task])


def test_all_pages_are_one_list_without_bookkeeping(credentials: Credentials, namespace: str) -> None:
    async def run() -> None:
        async with Client(credentials) as client:
            target = followed(namespace)
            for name in "abcde":
                await client.create(target.path, config_map(name))
            found = [page async for page, _ in pages(client, target, size=2)]
            assert [(len(page.objects), page.first, page.last) for page in found] == [
                (2, True, False),
                (2, False, False),
                (1, False, True),
            ]
            objects, version = await list_all(client, target, size=2)
            assert objects == tuple(item for page in found for item in page.objects)
            assert version
            assert [item["metadata"]["name"] for item in objects] == list("abcde")
            assert {(item["apiVersion"], item["kind"]) for item in objects} == {("v1", "ConfigMap")}
            assert not any("managedFields" in item["metadata"] for item in objects)

    asyncio.run(run())


def test_a_watch_that_ends_is_resumed_where_it_stopped(credentials: Credentials, namespace: str) -> None:
    async def run() -> None:
        target = followed(namespace)
        async with following(credentials, target) as here:
            await here.client.create(target.path, config_map("a"))
            await until(lambda: here.names() in ([["a"]], [[], ("ADDED", "a")]))
            begun = here.names()
            await here.client.create(target.path, config_map("b"))
            await until(lambda: here.names() == [*begun, ("ADDED", "b")])
            here.network.cut()
            await here.client.create(target.path, config_map("c"))
            await here.client.delete(f"{target.path}/a")
            here.network.mend()
            await until(lambda: len(here.events) >= len(begun) + 3)
            assert here.names() == [*begun, ("ADDED", "b"), ("ADDED", "c"), ("DELETED", "a")]
            added = here.events[-2]
            assert isinstance(added, Changed)
            assert "managedFields" not in added.object["metadata"]

    asyncio.run(run())


def test_a_version_that_is_too_old_means_a_new_list(
    control_plane: ControlPlane, credentials: Credentials, namespace: str
) -> None:
    """Events, because the API server keeps no history of them itself: it asks etcd, which can be told to forget."""

    def event(name: str) -> dict[str, Any]:
        about = {"kind": "Pod", "name": "p", "namespace": namespace}
        return {"metadata": {"name": name, "namespace": namespace, "labels": LABEL}, "involvedObject": about}

    async def run() -> None:
        target = followed(namespace, "events")
        async with Client(credentials) as client:
            await client.create(target.path, event("a"))
        async with following(credentials, target) as here:
            await until(lambda: here.events)
            here.network.cut()
            await here.client.delete(f"{target.path}/a")
            await here.client.create(target.path, event("b"))
            last = await here.client.create(target.path, event("c"))
            compact(control_plane, int(last["metadata"]["resourceVersion"]))
            here.network.mend()
            await until(lambda: len(here.events) >= 2)
            assert here.names() == [["a"], ["b", "c"]]

    asyncio.run(run())


def compact(control_plane: ControlPlane, revision: int) -> None:
    """Lets etcd forget what was before a revision, as it does in every cluster after a while."""
    command = json.loads((control_plane.directory / "commands" / "etcd").read_text())
    (address,) = (word.partition("=")[2] for word in command if word.startswith("--listen-client-urls="))
    body = json.dumps({"revision": revision}).encode()
    with urllib.request.urlopen(urllib.request.Request(f"{address}/v3/kv/compaction", data=body), timeout=10) as answer:
        assert answer.status == 200


def test_events_may_be_longer_than_any_buffer(credentials: Credentials, namespace: str) -> None:
    async def run() -> None:
        target = followed(namespace)
        async with following(credentials, target) as here:
            await until(lambda: here.events)
            await here.client.create(target.path, {**config_map("a"), "data": {"x": "y" * 1_000_000}})
            await until(lambda: len(here.events) == 2)
            changed = here.events[1]
            assert isinstance(changed, Changed)
            assert len(changed.object["data"]["x"]) == 1_000_000

    asyncio.run(run())


def test_a_server_that_is_away_is_asked_again(credentials: Credentials, namespace: str) -> None:
    async def run() -> None:
        async with following(credentials, followed(namespace), cut=True) as here:
            await until(lambda: here.network.tried >= 2)
            assert here.events == []
            here.network.mend()
            await until(lambda: here.names() == [[]])

    asyncio.run(run())


def test_watches_leave_connections_for_requests(credentials: Credentials, namespace: str) -> None:
    async def run() -> None:
        async with Client(credentials, connections=2) as client:
            seen: list[Event] = []
            targets = [
                Target(f"/api/v1/namespaces/{namespace}/{plural}") for plural in ("configmaps", "secrets", "pods", "services")
            ]
            tasks = [asyncio.create_task(follow(client, target, seen.append)) for target in targets]
            await until(lambda: len(seen) == len(targets))
            await asyncio.sleep(0.3)  # their watches are open
            assert (await client.get(f"/api/v1/namespaces/{namespace}"))["kind"] == "Namespace"
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)

    asyncio.run(run())
