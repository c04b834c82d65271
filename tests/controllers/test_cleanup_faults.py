"""Cleaning up when something fails: the API server is away, rights are missing, kinds come and go, there is too much."""

from __future__ import annotations

import asyncio
import time
import tracemalloc
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest

from controllers.cleanup.observe import event_of
from controllers.cleanup.schedules import Schedules
from controllers.cleanup.sweep import AT_ONCE, Cleaned, Sweeper
from controllers.cleanup.ttl import TimeToLive
from controllers.cluster import moments
from controllers.cluster.client import MERGE_PATCH, Client, Unreachable
from controllers.cluster.credentials import Credentials
from controllers.cluster.discovery import Discovery, Resource
from controllers.cluster.facts import World
from controllers.cluster.kinds import Kinds
from controllers.cluster.metrics import Metrics
from controllers.cluster.namespaces import Namespaces
from deploy.local.api import Api
from deploy.local.control_plane import ControlPlane
from engine import compile_policy
from tests.controllers.line import line, until

Document = dict[str, Any]
MAPS = Resource("", "v1", "ConfigMap", "configmaps", "", True, True, frozenset({"list", "watch", "delete"}))
MEMORY = 60 * 1024 * 1024
"""Bytes that a run may need at most: one page of objects, not all of them."""


def policy(namespace: str, **spec: Any) -> Document:
    return {
        "apiVersion": "kyverno.io/v2",
        "kind": "CleanupPolicy",
        "metadata": {"name": "p", "namespace": namespace},
        "spec": {
            "schedule": "* * * * *",
            "match": {"any": [{"resources": {"kinds": ["ConfigMap"], "selector": {"matchLabels": {"test": "faults"}}}}]},
            **spec,
        },
    }


def sweeper(client: Client, told: Callable[[Cleaned], None]) -> Sweeper:
    return Sweeper(
        client,
        discovery=lambda: Discovery.of([MAPS]),
        namespaces=Namespaces(),
        world=World(client),
        excluded=lambda request: False,
        protect_managed=False,
        cleaned=told,
    )


@pytest.fixture
def api(control_plane: ControlPlane) -> Api:
    return control_plane.api


def put(api: Api, namespace: str, name: str, **labels: str) -> None:
    metadata = {"name": name, "labels": {"test": "faults", **labels}}
    api.ask(f"/api/v1/namespaces/{namespace}/configmaps", method="POST", body={"metadata": metadata})


def left(api: Api, namespace: str) -> int:
    return len(api.ask(f"/api/v1/namespaces/{namespace}/configmaps?labelSelector=test%3Dfaults")["items"])


@asynccontextmanager
async def running(task: Any) -> AsyncIterator[None]:
    """The task in the background; a fault of its own ends the test."""
    started = asyncio.create_task(task)
    try:
        yield
    finally:
        if not started.done():
            started.cancel()
        with suppress(asyncio.CancelledError):
            await started


def test_a_run_that_falls_due_while_the_api_server_is_away_happens_once_when_it_is_back(
    api: Api, credentials: Credentials, namespace: str
) -> None:
    path = f"/apis/kyverno.io/v2/namespaces/{namespace}/cleanuppolicies"
    put(api, namespace, "late")
    told: list[Cleaned] = []

    def recorded() -> str:
        return str((api.ask(f"{path}/p").get("status") or {}).get("lastExecutionTime") or "")

    async def run() -> list[str]:
        async with line(credentials) as (between, client):
            schedules = Schedules(client, sweeper(client, told.append).sweep)
            async with running(schedules.run()):
                api.ask(path, method="POST", body=policy(namespace))
                await until(lambda: any(key[1] == namespace for key in schedules.plan.planned))
                (planned,) = [one for key, one in schedules.plan.planned.items() if key[1] == namespace]
                due = planned.due
                between.cut()
                await until(lambda: time.time_ns() > due and planned.attempt > 0, timeout=75)  # tried in vain
                assert (left(api, namespace), recorded()) == (1, "")
                between.mend()
                await until(lambda: left(api, namespace) == 0 and recorded())
                first = recorded()
                await asyncio.sleep(2)
                return [first, recorded()]

    first, later = asyncio.run(run())
    assert [one.outcome for one in told] == ["deleted"]
    assert later == first
    assert moments.parse(first) is not None


def test_when_the_api_server_goes_away_a_run_ends_with_all_it_had_begun(
    api: Api, credentials: Credentials, namespace: str
) -> None:
    for number in range(60):
        put(api, namespace, f"one-{number}")

    async def run() -> set[str]:
        async with line(credentials) as (between, client):

            def told(_: Cleaned) -> None:
                between.cut()

            before = asyncio.all_tasks()
            with pytest.raises(Unreachable):
                await sweeper(client, told).sweep(compile_policy(policy(namespace)))
            return {task.get_coro().__qualname__ for task in asyncio.all_tasks() - before}

    assert not {name for name in asyncio.run(run()) if name.startswith("_Run.")}
    assert left(api, namespace) > 0


def test_who_is_stopped_in_the_middle_of_a_run_leaves_the_rest_to_the_next(
    api: Api, credentials: Credentials, namespace: str
) -> None:
    path = f"/apis/kyverno.io/v2/namespaces/{namespace}/cleanuppolicies"
    for number in range(150):
        put(api, namespace, f"one-{number}")
    api.ask(path, method="POST", body=policy(namespace, schedule="0 0 1 1 *"))
    ran = {"status": {"lastExecutionTime": "2020-01-01T00:00:00Z"}}
    api.ask(f"{path}/p/status", method="PATCH", body=ran, content_type=MERGE_PATCH)

    def recorded() -> str:
        return str(api.ask(f"{path}/p")["status"]["lastExecutionTime"])

    async def run() -> None:
        told: list[Cleaned] = []
        async with Client(credentials) as client:
            first = asyncio.create_task(Schedules(client, sweeper(client, told.append).sweep).run())
            await until(lambda: told)
            first.cancel()
            await asyncio.wait([first])
            deleted = len(told)
            assert 0 < deleted < 150
            assert recorded() == "2020-01-01T00:00:00Z"
            async with running(Schedules(client, sweeper(client, told.append).sweep).run()):
                await until(lambda: left(api, namespace) == 0 and recorded() != "2020-01-01T00:00:00Z")

    asyncio.run(run())


def test_a_deletion_that_is_forbidden_is_told_and_does_not_keep_the_run(
    control_plane: ControlPlane, api: Api, powerless: Credentials, namespace: str
) -> None:
    for verbs, name in (("list", "lists"), ("delete", "deletes-one")):
        only = ["--resource-name=allowed"] if verbs == "delete" else []
        control_plane.kubectl("create", "role", name, f"--verb={verbs}", "--resource=configmaps", *only, "-n", namespace)
        control_plane.kubectl(
            "create", "rolebinding", name, f"--role={name}", f"--serviceaccount={namespace}:nobody", "-n", namespace
        )
    for name in ("allowed", "forbidden"):
        put(api, namespace, name)
    told: list[Cleaned] = []

    async def run() -> tuple[int, int, bool]:
        async with Client(powerless) as client:
            return await sweeper(client, told.append).sweep(compile_policy(policy(namespace)))

    assert asyncio.run(run()) == (1, 1, False)  # not soon again: rights do not come by waiting
    (failed,) = [one for one in told if one.outcome == "failed"]
    event = event_of(failed)
    assert (event.reason, event.type) == ("PolicyError", "Warning")
    assert f"failed to clean up the target resource ConfigMap/{namespace}/forbidden" in event.note
    assert 'cannot delete resource "configmaps"' in event.note


@pytest.fixture
def crd(api: Api) -> Iterator[Document]:
    """A kind that nobody has yet; `metadata.name` is its path below the CRDs."""
    word = f"thing{uuid.uuid4().hex[:6]}"
    group = "faults.example.com"
    schema = {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}
    names = {"plural": f"{word}s", "singular": word, "kind": word.capitalize()}
    versions = [{"name": "v1", "served": True, "storage": True, "schema": schema}]
    document = {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{word}s.{group}"},
        "spec": {"group": group, "scope": "Namespaced", "names": names, "versions": versions},
    }
    yield document
    if api.find(f"{CRDS}/{document['metadata']['name']}") is not None:
        api.ask(f"{CRDS}/{document['metadata']['name']}", method="DELETE")


CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"


def test_labels_work_on_kinds_that_come_and_their_end_disturbs_nobody(
    api: Api, credentials: Credentials, namespace: str, crd: Document
) -> None:
    names, group = crd["spec"]["names"], crd["spec"]["group"]
    path = f"/apis/{group}/v1/namespaces/{namespace}/{names['plural']}"
    kind = (group, names["plural"])
    body = {
        "apiVersion": f"{group}/v1",
        "kind": names["kind"],
        "metadata": {"name": "x", "labels": {"cleanup.kyverno.io/ttl": "1s"}},
    }

    async def run() -> None:
        async with Client(credentials) as client:
            kinds = Kinds(client, lambda _: ttl.nudge())
            ttl = TimeToLive(client, discovery=lambda: kinds.discovery, metrics=Metrics(), interval=1)
            await kinds.discover()
            async with running(kinds.run()), running(ttl.run()):
                await until(lambda: ("", "configmaps") in ttl.followed)
                assert kind not in ttl.followed
                api.ask(CRDS, method="POST", body=crd)
                await until(lambda: kind in ttl.followed)
                await until(lambda: api.find(path) is not None)
                api.ask(path, method="POST", body=body)
                await until(lambda: not api.ask(path)["items"])
                api.ask(f"{CRDS}/{crd['metadata']['name']}", method="DELETE")
                await until(lambda: kind not in ttl.followed)
                put(api, namespace, "after", **{"cleanup.kyverno.io/ttl": "1s"})
                await until(lambda: left(api, namespace) == 0)

    asyncio.run(run())


def test_labels_work_in_the_version_that_is_served_now(api: Api, credentials: Credentials, namespace: str, crd: Document) -> None:
    names, group = crd["spec"]["names"], crd["spec"]["group"]
    definition = f"{CRDS}/{crd['metadata']['name']}"
    newer = f"/apis/{group}/v2/namespaces/{namespace}/{names['plural']}"
    (first,) = crd["spec"]["versions"]

    async def run() -> None:
        async with Client(credentials) as client:
            kinds = Kinds(client, lambda _: ttl.nudge())
            ttl = TimeToLive(client, discovery=lambda: kinds.discovery, metrics=Metrics(), interval=1)
            await kinds.discover()
            async with running(kinds.run()), running(ttl.run()):
                api.ask(CRDS, method="POST", body=crd)
                await until(lambda: (group, names["plural"]) in ttl.followed)
                stored = api.ask(definition)
                stored["spec"]["versions"] = [{**first, "served": False}, {**first, "name": "v2", "storage": False}]
                api.ask(definition, method="PUT", body=stored)
                await until(lambda: api.find(newer) is not None)
                metadata = {"name": "x", "labels": {"cleanup.kyverno.io/ttl": "1s"}}
                api.ask(newer, method="POST", body={"apiVersion": f"{group}/v2", "kind": names["kind"], "metadata": metadata})
                await until(lambda: not api.ask(newer)["items"])

    asyncio.run(run())


@pytest.mark.parametrize("count", [1_000, pytest.param(5_000, marks=pytest.mark.slow)])
def test_much_to_delete_takes_bounded_memory_and_connections(
    api: Api, credentials: Credentials, namespace: str, count: int
) -> None:
    filler = {"data": {"text": "x" * 2_000}}
    told: list[Cleaned] = []

    async def run() -> tuple[int, int, int]:
        async with Client(credentials) as client:
            slots = asyncio.Semaphore(32)

            async def make(number: int) -> None:
                async with slots:
                    body = {"metadata": {"name": f"map-{number}", "labels": {"test": "faults"}}, **filler}
                    await client.create(f"/api/v1/namespaces/{namespace}/configmaps", body)

            await asyncio.gather(*(make(number) for number in range(count)))
        async with line(credentials) as (between, client):
            tracemalloc.start()
            swept = await sweeper(client, told.append).sweep(compile_policy(policy(namespace)))
            _, peak = tracemalloc.get_traced_memory()
            tracemalloc.stop()
            return swept.deleted, peak, between.tried

    deleted, peak, connections = asyncio.run(run())
    assert (deleted, left(api, namespace)) == (count, 0)
    assert peak < MEMORY
    assert connections <= AT_ONCE + 1  # those that delete, and the one that lists
