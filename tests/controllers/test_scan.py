"""The background scan on the real API server: what is looked at, and what is written."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from urllib.parse import quote

import pytest

from controllers.cluster.client import Client
from controllers.cluster.discovery import Resource
from controllers.cluster.ephemeral_reports import content_hash
from controllers.reports import forms
from controllers.reports.aggregate import Aggregator
from controllers.reports.in_force import rules_of
from controllers.reports.inventory import Inventory
from engine import Effect, Object, compile_policy
from engine.report import Subject
from tests.controllers.line import line, until
from tests.controllers.scanning import KINDS, MAPS, Place, pod, running

RBAC = "/apis/rbac.authorization.k8s.io/v1"


def test_objects_that_exist_get_reports(place: Place) -> None:
    async def run() -> None:
        place.pod("good", team="a")
        stored = place.pod("bad")
        async with running(place, place.policy()) as cluster:
            await cluster.settled({"good": {"teams": "pass"}, "bad": {"teams": "fail"}})
            (report,) = (r for r in place.all(place.polr) if r["scope"]["name"] == "bad")
            assert report["metadata"]["name"] == report["scope"]["uid"] == stored["metadata"]["uid"]

    asyncio.run(run())


def test_a_change_is_scanned_at_once_and_a_change_of_status_is_not(place: Place) -> None:
    async def run() -> None:
        place.pod("x")
        async with running(place, place.policy()) as cluster:
            await cluster.settled({"x": {"teams": "fail"}})
            place.merge(f"{place.pods}/x/status", {"status": {"phase": "Running"}})
            place.pod("later")
            await cluster.settled({"x": {"teams": "fail"}, "later": {"teams": "fail"}})
            assert cluster.scanned() == ["x", "later"]
            place.label("x", team="a")
            await cluster.settled({"x": {"teams": "pass"}, "later": {"teams": "fail"}})

    asyncio.run(run())


def test_an_object_whose_status_changes_during_a_sweep_is_judged_by_it(place: Place) -> None:
    async def run() -> None:
        for name in ("a", "b"):
            place.pod(name)
        seen: list[tuple[str, bool]] = []
        gate = asyncio.Event()
        gate.set()

        async def inspect(_: Resource, document: Object, again: bool) -> None:
            if document["metadata"].get("namespace") == place.namespace:
                seen.append((document["metadata"]["name"], again))
                await gate.wait()

        async with Client(place.credentials) as client:
            inventory = Inventory(client, inspect, workers=1)
            inventory.want(KINDS)
            await until(lambda: len(seen) == 2)
            seen.clear()
            gate.clear()
            inventory.sweep()
            await until(lambda: seen)
            first = seen[0][0]
            other = "b" if first == "a" else "a"
            place.merge(f"{place.pods}/{other}/status", {"status": {"phase": "Running"}})
            uid = place.pod("later")["metadata"]["uid"]
            await until(lambda: inventory.holds(uid))
            gate.set()
            await until(lambda: len(seen) >= 3)
            await inventory.stop()
        assert sorted(seen) == [("a", True), ("b", True), ("later", False)]

    asyncio.run(run())


def test_names_that_mean_something_in_urls(place: Place) -> None:
    roles = Resource(
        "rbac.authorization.k8s.io", "v1", "ClusterRole", "clusterroles", "", False, True, frozenset({"list", "watch"})
    )
    name = f"{place.namespace} a?b#c:d"

    async def run() -> None:
        place.api.ask(f"{RBAC}/clusterroles", method="POST", body={"metadata": {"name": name}, "rules": []})
        seen: list[str] = []

        async def inspect(_: Resource, document: Object, again: bool) -> None:
            if document["metadata"]["name"] == name:
                seen.append(document["metadata"]["name"])

        async with Client(place.credentials) as client:
            inventory = Inventory(client, inspect)
            inventory.want({("rbac.authorization.k8s.io", "clusterroles"): roles})
            await until(lambda: seen)
            await inventory.revisit("rbac.authorization.k8s.io", "ClusterRole", name, "")
            await inventory.stop()
        assert seen == [name, name]

    try:
        asyncio.run(run())
    finally:
        place.api.ask(f"{RBAC}/clusterroles/{quote(name)}", method="DELETE")


def test_a_report_that_kyverno_left_behind_says_what_is_true_now(place: Place) -> None:
    """It names nothing of ours, and its object has nothing to report any more."""

    def left(document: Object, kind: str) -> Object:
        owner = {"apiVersion": "v1", "kind": kind, **{key: document["metadata"][key] for key in ("name", "uid")}}
        row = {"source": "kyverno", "policy": "gone", "rule": "r", "result": "fail"}
        labels = {"app.kubernetes.io/managed-by": "kyverno"}
        return {
            "apiVersion": "wgpolicyk8s.io/v1alpha2",
            "kind": "PolicyReport",
            "metadata": {"name": owner["uid"], "labels": labels, "ownerReferences": [owner]},
            "scope": {**owner, "namespace": place.namespace},
            "results": [row],
        }

    async def run() -> None:
        silent = place.pod("silent")
        other = place.api.ask(place.maps, method="POST", body={"metadata": {"name": "other"}})
        for document, kind in ((silent, "Pod"), (other, "ConfigMap")):
            place.api.ask(place.polr, method="POST", body=left(document, kind))
        foreign = {**left(other, "ConfigMap"), "metadata": {**left(other, "ConfigMap")["metadata"], "name": "foreign"}}
        place.api.ask(place.polr, method="POST", body=foreign)
        async with running(place) as cluster:
            cluster.aggregator.prune(lambda subject: subject.kind != "Pod")
            await until(lambda: [one["metadata"]["name"] for one in place.all(place.polr)] == ["foreign"])

    asyncio.run(run())


def test_rows_that_could_not_be_written_never_come_after_newer_ones(place: Place) -> None:
    def rows(result: str) -> list[Object]:
        return [{"source": "kyverno", "policy": "teams", "rule": "team", "result": result, "scored": True}]

    async def run() -> None:
        subject = Subject.of({"apiVersion": "v1", "kind": "Pod", **place.pod("x")})
        policies = [compile_policy(place.policy())]
        async with line(place.credentials) as (proxy, client):
            aggregator = Aggregator(
                client, forms.POLICY_REPORTS, rules=lambda: rules_of(policies, scanning=True, reporting=tuple(Effect))
            )
            task = asyncio.create_task(aggregator.run(10**20))
            await aggregator.wait()
            proxy.cut()
            await aggregator.scanned(subject, rows("fail"))
            before = proxy.tried
            await until(lambda: proxy.tried > before + 1)
            proxy.mend()
            await aggregator.scanned(subject, rows("pass"))
            await until(lambda: not aggregator.waiting)
            assert place.reports() == {"x": {"teams": "pass"}}
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    asyncio.run(run())


def test_a_second_scan_writes_nothing(place: Place) -> None:
    async def run() -> None:
        for number in range(20):
            place.pod(f"x{number}", team="a")
        async with running(place, place.policy()) as cluster:
            await cluster.settled({f"x{number}": {"teams": "pass"} for number in range(20)})
            before = cluster.writes()
            cluster.inventory.sweep()
            await until(lambda: len(cluster.scanned()) == 40 and not cluster.aggregator.waiting)
            assert cluster.writes() == before == 20

    asyncio.run(run())


def test_after_a_restart_only_what_changed_meanwhile_is_written(place: Place) -> None:
    async def run() -> None:
        place.pod("x", team="a")
        place.pod("y", team="a")
        async with running(place, place.policy()) as cluster:
            await cluster.settled({"x": {"teams": "pass"}, "y": {"teams": "pass"}})
        place.merge(f"{place.pods}/y", {"metadata": {"labels": None}})
        async with running(place, place.policy()) as cluster:
            await cluster.settled({"x": {"teams": "pass"}, "y": {"teams": "fail"}})
            await until(lambda: sorted(cluster.scanned()) == ["x", "y"])
            assert cluster.writes() == 1

    asyncio.run(run())


def test_rows_of_a_policy_that_is_gone_disappear_and_an_empty_report_too(place: Place) -> None:
    async def run() -> None:
        place.pod("x", team="a")
        async with running(place, place.policy(), place.policy("apps", "app")) as cluster:
            await cluster.settled({"x": {"teams": "pass", "apps": "fail"}})
            first = {row["policy"]: row["timestamp"] for row in place.all(place.polr)[0]["results"]}
            await asyncio.sleep(1.1)
            cluster.enforce(place.policy())
            cluster.inventory.sweep()
            await cluster.settled({"x": {"teams": "pass"}})
            assert place.all(place.polr)[0]["results"][0]["timestamp"] == first["teams"]
            cluster.enforce()
            cluster.inventory.want({})
            cluster.aggregator.prune(lambda subject: True)
            await cluster.settled({})
            assert place.all(place.polr) == []

    asyncio.run(run())


def reading(*resources: str) -> list[Object]:
    """RBAC rules: these may be read, reports written."""
    return [
        {"apiGroups": [""], "resources": list(resources), "verbs": ["get", "list", "watch"]},
        {"apiGroups": ["wgpolicyk8s.io"], "resources": ["*"], "verbs": ["*"]},
    ]


@pytest.fixture
def reader(place: Place) -> Iterator[tuple[str, str]]:
    """The token of a ServiceAccount that may read Pods, and the path of the ClusterRole that says so."""
    api, name = place.api, place.namespace
    account = f"/api/v1/namespaces/{name}/serviceaccounts"
    api.ask(account, method="POST", body={"metadata": {"name": "reader"}})
    token = api.ask(f"{account}/reader/token", method="POST", body={"spec": {"expirationSeconds": 3600}})["status"]["token"]
    api.ask(f"{RBAC}/clusterroles", method="POST", body={"metadata": {"name": name}, "rules": reading("pods")})
    binding = {
        "metadata": {"name": name},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": name},
        "subjects": [{"kind": "ServiceAccount", "name": "reader", "namespace": name}],
    }
    api.ask(f"{RBAC}/clusterrolebindings", method="POST", body=binding)
    yield token, f"{RBAC}/clusterroles/{name}"
    for plural in ("clusterrolebindings", "clusterroles"):
        api.ask(f"{RBAC}/{plural}/{name}", method="DELETE")


def test_a_kind_that_cannot_be_read_stops_no_other_and_comes_back(place: Place, reader: tuple[str, str]) -> None:
    token, role = reader

    async def run() -> None:
        place.pod("x")
        place.api.ask(place.maps, method="POST", body={"metadata": {"name": "m"}})
        kinds = {**KINDS, ("", "configmaps"): MAPS}
        policies = place.policy(), place.policy("maps", kind="ConfigMap")
        async with running(place, *policies, kinds=kinds, token=token) as cluster:
            maps = cluster.inventory.collections["", "configmaps"]
            await cluster.settled({"x": {"teams": "fail"}})
            await until(lambda: maps.error)
            assert maps.error == "Forbidden"
            place.merge(role, {"rules": reading("pods", "configmaps")})
            await cluster.settled({"x": {"teams": "fail"}, "m": {"maps": "fail"}})
            await until(lambda: not maps.error)

    asyncio.run(run())


def test_a_quiet_kind_is_well_again_as_soon_as_its_watch_stands(place: Place) -> None:
    group, plural = key = "scheduling.k8s.io", "priorityclasses"
    quiet = Resource(group, "v1", "PriorityClass", plural, "", False, True, frozenset({"list", "watch"}))

    async def run() -> None:
        async def inspect(resource: Resource, document: Object, again: bool) -> None:
            seen.append(document["metadata"]["name"])

        seen: list[str] = []
        async with line(place.credentials) as (proxy, client):
            inventory = Inventory(client, inspect, workers=10**20)
            inventory.want({key: quiet})
            classes = inventory.collections[key]
            await classes.listed.wait()
            seen.clear()
            proxy.cut()
            await until(lambda: classes.error == "Unreachable")
            proxy.mend()
            await until(lambda: not classes.error)
            assert not seen
            await inventory.stop()

    asyncio.run(run())


def test_a_report_that_somebody_deletes_or_changes_is_noticed(place: Place) -> None:
    async def run() -> None:
        stored = place.pod("x")
        report = f"{place.polr}/{stored['metadata']['uid']}"
        async with running(place, place.policy()) as cluster:
            await cluster.settled({"x": {"teams": "fail"}})
            place.merge(report, {"results": []})
            await until(lambda: cluster.lost() == ["x"])
            await cluster.inventory.revisit("", "Pod", "x", place.namespace)
            await cluster.settled({"x": {"teams": "fail"}})
            place.api.ask(report, method="DELETE")
            await until(lambda: cluster.lost() == ["x", "x"])
            await cluster.inventory.revisit("", "Pod", "x", place.namespace)
            await cluster.settled({"x": {"teams": "fail"}})

    asyncio.run(run())


def test_a_policy_without_reports_is_not_scanned(place: Place) -> None:
    async def run() -> None:
        place.pod("x")
        quiet = place.policy("quiet", labels={"reports.kyverno.io/disabled": "true"})
        async with running(place, quiet, place.policy("admission", background=False)) as cluster:
            await until(lambda: cluster.scanned() == ["x"] and not cluster.aggregator.waiting)
            assert place.reports() == {}
            assert cluster.writes() == 0

    asyncio.run(run())


def test_the_hash_leaves_out_what_the_cluster_writes() -> None:
    plain = pod(app="a")
    assert content_hash(plain) == content_hash({**plain, "status": {"phase": "Running"}})
    assert content_hash(plain) == content_hash({**plain, "spec": {**plain["spec"], "nodeName": "n"}})
    assert content_hash(plain) == content_hash({**plain, "metadata": {**plain["metadata"], "resourceVersion": "7"}})
    assert content_hash(plain) != content_hash(pod(app="b"))
