"""The policies in force: what a list or a change of stored policies makes of the snapshot."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

from controllers.cluster.client import Client
from controllers.cluster.credentials import Credentials
from controllers.cluster.policies import Entry, Policies
from controllers.cluster.watch import Changed, Event, Listed
from tests.controllers.line import line, until

GOOD: dict[str, Any] = {"deny": {}}
BROKEN: dict[str, Any] = {"deny": {}, "message": "{{ a( }}"}


def document(name: str, validate: dict[str, Any], *, kinds: Any = ("Pod",), version: int = 1) -> dict[str, Any]:
    rule = {"name": "r", "match": {"any": [{"resources": {"kinds": list(kinds)}}]}, "validate": validate}
    return {
        "apiVersion": "kyverno.io/v1",
        "kind": "ClusterPolicy",
        "metadata": {"name": name, "uid": name, "generation": version},
        "spec": {"background": False, "rules": [rule]},
    }


@dataclass
class Told:
    """Policies, and what they told on."""

    policies: Policies
    changes: list[tuple[str, str]]

    def handle(self, event: Event) -> None:
        self.policies.handler("ClusterPolicy")(event)

    def rules(self) -> dict[str, bool]:
        """Policy -> do its written rules work?"""
        return {p.identity.name: not any(rule.error for rule in p.rules) for p in self.policies.snapshot}

    def fault(self, name: str) -> str:
        return str(self.policies.entries["ClusterPolicy", "", name].error or "")


def listed(*documents: dict[str, Any]) -> Told:
    """What a list of stored policies makes of nothing."""
    changes: list[tuple[str, str]] = []
    told = Told(Policies(lambda entry, change: changes.append((entry.document["metadata"]["name"], change))), changes)
    told.handle(Listed(documents))
    return told


def modified(document: dict[str, Any]) -> Changed:
    return Changed("MODIFIED", document)


def test_a_list_replaces_what_was_known() -> None:
    known = listed(document("a", GOOD), document("b", GOOD))
    known.handle(Listed((document("b", GOOD), document("c", GOOD))))
    assert known.rules() == {"b": True, "c": True}
    assert known.changes == [("a", "create"), ("b", "create"), ("a", "delete"), ("c", "create")]


def test_a_status_write_compiles_nothing_anew() -> None:
    known = listed(document("a", GOOD))
    before = known.policies.snapshot
    known.handle(modified({**document("a", GOOD), "status": {"conditions": []}}))
    assert known.policies.snapshot is before


def test_a_stored_policy_with_a_faulty_rule_is_in_force_and_errs() -> None:
    known = listed(document("a", BROKEN))
    assert known.rules() == {"a": False}
    assert known.fault("a").startswith("spec.rules[0]")


def test_a_policy_that_no_longer_compiles_errs_as_it_would_after_a_restart() -> None:
    known = listed(document("a", GOOD))
    known.handle(modified(document("a", BROKEN, version=2)))
    assert known.rules() == {"a": False}
    known.handle(modified(document("a", GOOD, version=3)))
    assert (known.rules(), known.fault("a")) == ({"a": True}, "")


def test_where_nobody_can_say_what_a_rule_matches_the_version_before_stays() -> None:
    known = listed(document("a", GOOD))
    known.handle(modified(document("a", GOOD, kinds=(1,), version=2)))
    assert known.rules() == {"a": True}
    assert known.fault("a").startswith("spec.rules[0].match")
    assert listed(document("a", GOOD, kinds=(1,))).rules() == {}


def test_policies_of_the_cluster_come_change_and_go(credentials: Credentials) -> None:
    path, changes = "/apis/kyverno.io/v1/clusterpolicies", list[tuple[str, str]]()

    def changed(entry: Entry, change: str) -> None:
        if entry.document["metadata"]["name"].startswith("followed-"):
            changes.append((entry.document["metadata"]["name"], change))

    async def run() -> None:
        async with Client(credentials) as client, line(credentials) as (network, far):
            await client.create(path, document("followed-a", GOOD))
            policies = Policies(changed)
            task = asyncio.create_task(policies.run(far))
            await policies.wait()
            assert policies.ready
            assert changes == [("followed-a", "create")]
            network.cut()
            await client.create(path, document("followed-b", BROKEN))
            await client.merge(f"{path}/followed-a", {"metadata": {"labels": {"changed": "yes"}}})
            await client.merge(f"{path}/followed-a/status", {"status": {"autogen": {}}})
            network.mend()
            await until(lambda: changes[1:] == [("followed-b", "create"), ("followed-a", "update")])
            assert policies.find("followed-a") is not None
            assert policies.entries["ClusterPolicy", "", "followed-b"].error is not None
            await client.delete(f"{path}/followed-a")
            await client.delete(f"{path}/followed-b")
            await until(lambda: changes[3:] == [("followed-a", "delete"), ("followed-b", "delete")])
            assert policies.find("followed-a") is None
            task.cancel()
            await asyncio.wait([task])

    asyncio.run(run())
