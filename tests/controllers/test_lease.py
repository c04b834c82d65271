"""Leases: one leader at a time, and replicas that know of each other."""

from __future__ import annotations

import asyncio
import datetime
from typing import Any

from controllers.cluster.client import ApiError, Client
from controllers.cluster.lease import FORGOTTEN, HEARTBEAT, REPLICA, Heartbeat, Leadership, Timing, micro_time, now_utc

FAST = Timing(duration=1.0, deadline=0.5, retry=0.05)


class Leases(Client):
    """The Leases of one namespace, with versions and conflicts."""

    def __init__(self) -> None:
        self.stored: dict[str, dict[str, Any]] = {}
        self.version = 0

    async def call(self, method: str, path: str, *, body: Any = None, **_: Any) -> Any:
        await asyncio.sleep(0)
        name = path.rsplit("/", 1)[1]
        if method == "POST":
            if body["metadata"]["name"] in self.stored:
                raise ApiError(409, "AlreadyExists", path)
            return self._keep(body)
        if name not in self.stored:
            raise ApiError(404, "NotFound", path)
        stored = self.stored[name]
        if method == "PUT":
            if body["metadata"]["resourceVersion"] != stored["metadata"]["resourceVersion"]:
                raise ApiError(409, "Conflict", path)
            return self._keep(body)
        if method == "PATCH":
            annotations = {**stored["metadata"].get("annotations", {}), **body["metadata"]["annotations"]}
            kept = {key: value for key, value in annotations.items() if value is not None}
            return self._keep({**stored, "metadata": {**stored["metadata"], "annotations": kept}})
        return {**stored, "metadata": dict(stored["metadata"]), "spec": dict(stored["spec"])}

    def _keep(self, body: Any) -> Any:
        self.version += 1
        kept = {**body, "metadata": {**body["metadata"], "resourceVersion": str(self.version)}}
        self.stored[body["metadata"]["name"]] = kept
        return kept


def leadership(leases: Leases, identity: str) -> Leadership:
    return Leadership(leases, namespace="kyverno", name="kyverno", identity=identity, timing=FAST)


async def work(log: list[str], name: str) -> None:
    log.append(f"{name} leads")
    try:
        await asyncio.Event().wait()
    finally:
        log.append(f"{name} ends")


async def until(what: Any) -> None:
    async with asyncio.timeout(5):
        while not what():
            await asyncio.sleep(0.01)


def test_one_leads_and_the_other_follows_when_the_lease_is_given_back() -> None:
    async def run() -> list[str]:
        leases, log = Leases(), list[str]()
        first, second = leadership(leases, "one"), leadership(leases, "two")
        one = asyncio.create_task(first.run(lambda: work(log, "one")))
        await until(lambda: first.leading)
        two = asyncio.create_task(second.run(lambda: work(log, "two")))
        await asyncio.sleep(0.3)
        assert not second.leading
        one.cancel()
        await asyncio.wait([one])
        await first.release()
        await until(lambda: second.leading)
        two.cancel()
        await asyncio.wait([two])
        return log

    assert asyncio.run(run()) == ["one leads", "one ends", "two leads", "two ends"]


def test_a_leader_that_is_robbed_of_its_lease_stops_leading() -> None:
    async def run() -> list[str]:
        leases, log = Leases(), list[str]()
        first = leadership(leases, "one")
        task = asyncio.create_task(first.run(lambda: work(log, "one")))
        await until(lambda: log == ["one leads"])
        stolen = leases.stored["kyverno"]
        leases._keep({**stored_by(stolen, "foo")})
        await until(lambda: "one ends" in log)
        task.cancel()
        await asyncio.wait([task])
        return log

    assert asyncio.run(run())[:2] == ["one leads", "one ends"]


def stored_by(lease: dict[str, Any], holder: str) -> dict[str, Any]:
    return {**lease, "spec": {**lease["spec"], "holderIdentity": holder, "leaseDurationSeconds": 60}}


def test_the_last_replica_knows_that_it_is_the_last() -> None:
    async def run() -> tuple[bool, bool]:
        leases = Leases()
        one, two = (Heartbeat(leases, namespace="kyverno", identity=name) for name in ("one", "two"))
        await one._beat()
        await two._beat()
        assert set(leases.stored["kyverno-health"]["metadata"]["annotations"]) == {HEARTBEAT, f"{REPLICA}one", f"{REPLICA}two"}
        return await one.leave(), await two.leave()

    assert asyncio.run(run()) == (False, True)


def test_crashed_replicas_are_forgotten() -> None:
    async def run() -> Any:
        leases = Leases()
        beat = Heartbeat(leases, namespace="kyverno", identity="one")
        await beat._beat()
        old = micro_time(now_utc() - datetime.timedelta(seconds=FORGOTTEN + 1))
        leases.stored["kyverno-health"]["metadata"]["annotations"][f"{REPLICA}crashed"] = old
        await beat._beat()
        return leases.stored["kyverno-health"]["metadata"]["annotations"]

    assert f"{REPLICA}crashed" not in asyncio.run(run())


def test_without_a_heartbeat_lease_nobody_else_lives() -> None:
    assert asyncio.run(Heartbeat(Leases(), namespace="kyverno", identity="one").leave())
