"""Leases: one leader at a time, and replicas that know of each other."""

from __future__ import annotations

import asyncio
import datetime
from collections.abc import Callable
from typing import Any

from controllers.cluster.client import Client
from controllers.cluster.credentials import Credentials
from controllers.cluster.lease import FORGOTTEN, HEARTBEAT, REPLICA, Heartbeat, Leadership, Timing, micro_time, now_utc
from tests.controllers.line import line, until

FAST = Timing(duration=3.0, deadline=2.0, retry=0.2)
"""Short, but long enough for a machine that has other work too."""


def leadership(client: Client, namespace: str, identity: str) -> Leadership:
    return Leadership(client, namespace=namespace, name="kyverno", identity=identity, timing=FAST)


def leases(namespace: str) -> str:
    return f"/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases"


def working(log: list[str], name: str) -> Callable[[], Any]:
    async def work() -> None:
        log.append(f"{name} leads")
        try:
            await asyncio.Event().wait()
        finally:
            log.append(f"{name} ends")

    return work


async def ended(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.wait([task])


def test_one_leads_and_the_other_follows_when_the_lease_is_given_back(credentials: Credentials, namespace: str) -> None:
    async def run() -> list[str]:
        log = list[str]()
        async with Client(credentials) as client:
            first, second = leadership(client, namespace, "one"), leadership(client, namespace, "two")
            one = asyncio.create_task(first.run(working(log, "one")))
            await until(lambda: log)
            two = asyncio.create_task(second.run(working(log, "two")))
            await asyncio.sleep(3 * FAST.retry)
            assert not second.leading
            await ended(one)
            await first.release()
            await until(lambda: second.leading)
            await ended(two)
        return log

    assert asyncio.run(run()) == ["one leads", "one ends", "two leads", "two ends"]


def test_a_leader_that_is_cut_off_ends_before_another_begins(credentials: Credentials, namespace: str) -> None:
    async def run() -> list[str]:
        log = list[str]()
        async with Client(credentials) as client, line(credentials) as (network, far):
            first, second = leadership(far, namespace, "one"), leadership(client, namespace, "two")
            one = asyncio.create_task(first.run(working(log, "one")))
            await until(lambda: log)
            two = asyncio.create_task(second.run(working(log, "two")))
            network.cut()
            await until(lambda: second.leading)
            assert not first.leading
            lease = await client.get(f"{leases(namespace)}/kyverno")
            assert (lease["spec"]["holderIdentity"], lease["spec"]["leaseTransitions"]) == ("two", 1)
            await ended(two)
            await ended(one)
        return log

    assert asyncio.run(run()) == ["one leads", "one ends", "two leads", "two ends"]


def test_a_leader_that_is_robbed_of_its_lease_stops_leading(credentials: Credentials, namespace: str) -> None:
    async def run() -> list[str]:
        log = list[str]()
        async with Client(credentials) as client:
            task = asyncio.create_task(leadership(client, namespace, "one").run(working(log, "one")))
            await until(lambda: log)
            theirs = {"spec": {"holderIdentity": "foo", "leaseDurationSeconds": 60}}
            await client.merge(f"{leases(namespace)}/kyverno", theirs)
            await until(lambda: "one ends" in log)
            await ended(task)
        return log

    assert asyncio.run(run()) == ["one leads", "one ends"]


async def marks(client: Client, namespace: str) -> set[str]:
    lease = await client.get(f"{leases(namespace)}/kyverno-health")
    return set(lease["metadata"]["annotations"])


def test_the_last_replica_knows_that_it_is_the_last(credentials: Credentials, namespace: str) -> None:
    async def run() -> tuple[bool, bool]:
        async with Client(credentials) as client:
            one, two = (Heartbeat(client, namespace=namespace, identity=name) for name in ("one", "two"))
            await one._beat()
            await two._beat()
            assert await marks(client, namespace) == {HEARTBEAT, f"{REPLICA}one", f"{REPLICA}two"}
            return await one.leave(), await two.leave()

    assert asyncio.run(run()) == (False, True)


def test_crashed_replicas_are_forgotten(credentials: Credentials, namespace: str) -> None:
    async def run() -> set[str]:
        async with Client(credentials) as client:
            beat = Heartbeat(client, namespace=namespace, identity="one")
            await beat._beat()
            old = micro_time(now_utc() - datetime.timedelta(seconds=FORGOTTEN + 1))
            crashed = {"metadata": {"annotations": {f"{REPLICA}crashed": old}}}
            await client.merge(f"{leases(namespace)}/kyverno-health", crashed)
            await beat._beat()
            return await marks(client, namespace)

    assert asyncio.run(run()) == {HEARTBEAT, f"{REPLICA}one"}


def test_without_a_heartbeat_lease_nobody_else_lives(credentials: Credentials, namespace: str) -> None:
    async def run() -> bool:
        async with Client(credentials) as client:
            return await Heartbeat(client, namespace=namespace, identity="one").leave()

    assert asyncio.run(run())
