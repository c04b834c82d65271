"""Replicas that share the objects: who is there, and whose an object is."""

from __future__ import annotations

import asyncio
from collections import Counter

from controllers.cluster.client import Client
from controllers.cluster.credentials import Credentials
from controllers.cluster.lease import REPLICA
from controllers.reports.members import LEASE, Members, owner
from deploy.local.control_plane import ControlPlane
from tests.controllers.line import line, until

UIDS = [f"{number:08x}-1111-2222-3333-444455556666" for number in range(3000)]


def test_objects_are_spread_evenly() -> None:
    shares = Counter(owner(uid, ["a", "b", "c"]) for uid in UIDS)
    assert all(900 < share < 1100 for share in shares.values())


def test_when_a_replica_goes_only_its_objects_change_hands() -> None:
    before = {uid: owner(uid, ["a", "b", "c"]) for uid in UIDS}
    after = {uid: owner(uid, ["a", "b"]) for uid in UIDS}
    assert all(after[uid] == before[uid] for uid in UIDS if before[uid] != "c")


def members(client: Client, namespace: str, name: str, changes: list[str]) -> Members:
    return Members(client, namespace=namespace, identity=name, changed=lambda: changes.append(name), interval=0.2, expiry=2.0)


def test_replicas_find_each_other_and_notice_a_crash_and_a_goodbye(
    credentials: Credentials, namespace: str, control_plane: ControlPlane
) -> None:
    async def run() -> None:
        changes: list[str] = []
        async with Client(credentials) as client:
            all_ = {name: members(client, namespace, name, changes) for name in ("a", "b", "c")}
            tasks = {name: asyncio.create_task(one.run()) for name, one in all_.items()}
            await until(lambda: all(one.names == ("a", "b", "c") for one in all_.values()))
            assert Counter(sum(one.mine(uid) for one in all_.values()) for uid in UIDS) == {1: len(UIDS)}
            tasks["c"].cancel()  # as if killed: its mark stays
            await until(lambda: all(all_[name].names == ("a", "b") for name in "ab"))
            tasks["b"].cancel()
            await asyncio.wait([tasks["b"]])
            await all_["b"].leave()
            await until(lambda: all_["a"].names == ("a",))
            assert all(all_["a"].mine(uid) for uid in UIDS)
            tasks["a"].cancel()
            await asyncio.wait(tasks.values())
        assert set(changes) == {"a", "b", "c"}

    asyncio.run(run())
    lease = control_plane.api.ask(f"/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases/{LEASE}")
    assert set(lease["metadata"]["annotations"]) == {REPLICA + "a", REPLICA + "c"}


def test_without_an_answer_the_members_stay_as_they_are(credentials: Credentials, namespace: str) -> None:
    async def run() -> None:
        async with Client(credentials) as client, line(credentials) as (network, far):
            one, two = members(far, namespace, "a", []), members(client, namespace, "b", [])
            tasks = [asyncio.create_task(one.run()), asyncio.create_task(two.run())]
            await until(lambda: one.names == ("a", "b"))
            network.cut()
            before = network.tried
            await until(lambda: network.tried > before + 5)
            assert one.names == ("a", "b")
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)

    asyncio.run(run())
