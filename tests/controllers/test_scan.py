"""Inventory, scan, aggregation and collection together, on an API server in memory."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from controllers.cluster.client import Client
from controllers.cluster.discovery import Resource
from controllers.cluster.ephemeral_reports import Draft, EphemeralReports, content_hash
from controllers.cluster.facts import World
from controllers.cluster.namespaces import Namespaces
from controllers.reports import collect, forms
from controllers.reports.aggregate import Aggregator, rules_of
from controllers.reports.collect import Collector
from controllers.reports.inventory import Inventory
from controllers.reports.scan import Scanned, Scanner
from engine import GroupVersionResource, PolicySet, compile_policy
from engine.report import Subject
from tests.controllers.memory_api import MemoryApi, Object

PODS = Resource("", "v1", "Pod", "pods", "", True, True, frozenset({"list", "watch"}))
MAPS = Resource("", "v1", "ConfigMap", "configmaps", "", True, True, frozenset({"list", "watch"}))
KINDS = {("", "pods"): PODS}
RESULTS = frozenset({"pass", "fail", "warn", "error", "skip"})


def policy(name: str = "teams", label: str = "team", *, kind: str = "Pod", background: bool = True, labels: Any = None) -> Object:
    body = {"message": f"{label} is needed", "pattern": {"metadata": {"labels": {label: "?*"}}}}
    match = {"any": [{"resources": {"kinds": [kind]}}]}
    return {
        "apiVersion": "kyverno.io/v1",
        "kind": "ClusterPolicy",
        "metadata": {
            "name": name,
            "labels": labels or {},
            "annotations": {"pod-policies.kyverno.io/autogen-controllers": "none"},
        },
        "spec": {"background": background, "rules": [{"name": label, "match": match, "validate": body}]},
    }


def pod(**labels: str) -> Object:
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"labels": labels}, "spec": {"containers": []}}


def path(name: str, plural: str = "pods") -> str:
    return f"/api/v1/namespaces/blue/{plural}/{name}"


class Cluster:
    """The API server and the parts of the reports operator, wired as the operator does it."""

    def __init__(self, api: MemoryApi, client: Client, documents: list[Object]) -> None:
        self.api = api
        self.policies = PolicySet([compile_policy(document) for document in documents])
        self.scanned: list[Scanned] = []
        self.counts: list[str] = []
        self.lost: list[Subject] = []
        rules = lambda: rules_of(self.policies, scanning=True)  # noqa: E731
        self.aggregator = Aggregator(client, forms.POLICY_REPORTS, rules=rules, lost=self.lost.append, counted=self.counts.append)
        scanner = Scanner(
            policies=lambda: self.policies,
            namespaces=Namespaces(),
            world=World(client),
            aggregator=self.aggregator,
            excluded=lambda request: False,
            allowed=RESULTS,
            looked=self.scanned.append,
        )
        self.inventory = Inventory(client, scanner.inspect)
        self.collector = Collector(
            client, aggregator=self.aggregator, inventory=self.inventory, rules=rules, allowed=RESULTS, mine=lambda uid: True
        )

    def reports(self) -> dict[str, dict[str, str]]:
        """Object -> policy -> result, of all reports."""
        return {
            report["scope"]["name"]: {row["policy"]: row["result"] for row in report["results"]}
            for report in self.api.all("policyreports")
        }

    def enforce(self, *documents: Object) -> None:
        self.policies = PolicySet([compile_policy(document) for document in documents])

    async def settled(self, wanted: dict[str, dict[str, str]], *, timeout: float = 5.0) -> None:
        """Until the reports say this."""
        deadline = time.monotonic() + timeout
        while self.reports() != wanted or self.aggregator.waiting:
            assert time.monotonic() < deadline, f"{self.reports()} instead of {wanted}"
            await asyncio.sleep(0.02)

    def writes(self) -> int:
        return sum(
            count
            for (verb, plural), count in self.api.requests.items()
            if plural == "policyreports" and verb in ("POST", "PUT", "DELETE")
        )


@asynccontextmanager
async def running(api: MemoryApi, *documents: Object, kinds: Any = KINDS, collecting: bool = False) -> AsyncIterator[Cluster]:
    async with api.serve() as client:
        cluster = Cluster(api, client, list(documents))
        tasks = [asyncio.create_task(cluster.aggregator.run(4))]
        await cluster.aggregator.wait()
        cluster.inventory.want(kinds)
        if collecting:
            tasks.append(asyncio.create_task(cluster.collector.run()))
        try:
            yield cluster
        finally:
            await cluster.inventory.stop()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


def test_objects_that_exist_get_reports() -> None:
    async def run() -> None:
        api = MemoryApi()
        api.put(path("good"), pod(team="a"))
        api.put(path("bad"), pod())
        async with running(api, policy()) as cluster:
            await cluster.settled({"good": {"teams": "pass"}, "bad": {"teams": "fail"}})
            (report,) = (r for r in api.all("policyreports") if r["scope"]["name"] == "bad")
            stored = next(o for o in api.all("pods") if o["metadata"]["name"] == "bad")
            assert report["metadata"]["name"] == report["scope"]["uid"] == stored["metadata"]["uid"]

    asyncio.run(run())


def test_a_change_is_scanned_at_once_and_a_change_of_status_is_not() -> None:
    async def run() -> None:
        api = MemoryApi()
        api.put(path("x"), pod())
        async with running(api, policy()) as cluster:
            await cluster.settled({"x": {"teams": "fail"}})
            looks = len(cluster.scanned)
            api.put(path("x"), {**pod(), "status": {"phase": "Running"}})
            await asyncio.sleep(0.2)
            assert len(cluster.scanned) == looks
            api.put(path("x"), pod(team="a"))
            await cluster.settled({"x": {"teams": "pass"}})

    asyncio.run(run())


def test_a_second_scan_writes_nothing() -> None:
    async def run() -> None:
        api = MemoryApi()
        for number in range(20):
            api.put(path(f"x{number}"), pod(team="a"))
        async with running(api, policy()) as cluster:
            await cluster.settled({f"x{number}": {"teams": "pass"} for number in range(20)})
            before = cluster.writes()
            cluster.inventory.sweep()
            await asyncio.sleep(0.6)
            assert len(cluster.scanned) == 40
            assert cluster.writes() == before == 20

    asyncio.run(run())


def test_after_a_restart_only_what_changed_meanwhile_is_written() -> None:
    async def run() -> None:
        api = MemoryApi()
        api.put(path("x"), pod(team="a"))
        api.put(path("y"), pod(team="a"))
        async with running(api, policy()) as cluster:
            await cluster.settled({"x": {"teams": "pass"}, "y": {"teams": "pass"}})
        api.put(path("y"), pod())
        api.requests.clear()
        async with running(api, policy()) as cluster:
            await cluster.settled({"x": {"teams": "pass"}, "y": {"teams": "fail"}})
            assert cluster.writes() == 1

    asyncio.run(run())


def test_rows_of_a_policy_that_is_gone_disappear_and_an_empty_report_too() -> None:
    async def run() -> None:
        api = MemoryApi()
        api.put(path("x"), pod(team="a"))
        async with running(api, policy(), policy("apps", "app")) as cluster:
            await cluster.settled({"x": {"teams": "pass", "apps": "fail"}})
            first = {row["policy"]: row["timestamp"] for row in api.all("policyreports")[0]["results"]}
            await asyncio.sleep(1.1)
            cluster.enforce(policy())
            cluster.inventory.sweep()
            await cluster.settled({"x": {"teams": "pass"}})
            assert api.all("policyreports")[0]["results"][0]["timestamp"] == first["teams"]
            cluster.enforce()
            cluster.inventory.want({})
            cluster.aggregator.prune(lambda subject: True)
            await cluster.settled({})

    asyncio.run(run())


def test_a_kind_that_cannot_be_read_stops_no_other_and_comes_back() -> None:
    async def run() -> None:
        api = MemoryApi()
        api.put(path("x"), pod())
        api.put(path("m", "configmaps"), {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {}})
        api.refusing["configmaps"] = 403
        kinds = {**KINDS, ("", "configmaps"): MAPS}
        async with running(api, policy(), policy("maps", kind="ConfigMap"), kinds=kinds) as cluster:
            await cluster.settled({"x": {"teams": "fail"}})
            assert cluster.inventory.collections["", "configmaps"].error == "Forbidden"
            del api.refusing["configmaps"]
            await cluster.settled({"x": {"teams": "fail"}, "m": {"maps": "fail"}}, timeout=10)
            assert cluster.inventory.collections["", "configmaps"].error == ""

    asyncio.run(run())


def test_a_report_that_somebody_deletes_or_changes_is_noticed() -> None:
    async def run() -> None:
        api = MemoryApi()
        api.put(path("x"), pod())
        async with running(api, policy()) as cluster:
            await cluster.settled({"x": {"teams": "fail"}})
            (report,) = api.all("policyreports")
            where = f"/apis/wgpolicyk8s.io/v1alpha2/namespaces/blue/policyreports/{report['metadata']['name']}"
            api.put(where, {**report, "results": []})
            await _until(lambda: len(cluster.lost) == 1)
            await cluster.inventory.revisit("", "Pod", "x", "blue")
            await cluster.settled({"x": {"teams": "fail"}})
            api.remove(where)
            await _until(lambda: len(cluster.lost) == 2)
            await cluster.inventory.revisit("", "Pod", "x", "blue")
            await cluster.settled({"x": {"teams": "fail"}})

    asyncio.run(run())


def test_a_policy_without_reports_is_not_scanned() -> None:
    async def run() -> None:
        api = MemoryApi()
        api.put(path("x"), pod())
        quiet = policy("quiet", labels={"reports.kyverno.io/disabled": "true"})
        async with running(api, quiet, policy("admission", background=False)) as cluster:
            await asyncio.sleep(0.4)
            assert cluster.reports() == {}

    asyncio.run(run())


def row(name: str, rule: str = "team", result: str = "fail", seconds: int = 5) -> Object:
    stamp = {"seconds": seconds, "nanos": 0}
    return {"source": "kyverno", "policy": name, "rule": rule, "result": result, "scored": True, "timestamp": stamp}


def draft(document: Object, *rows: Object, uid: bool = True) -> Draft:
    subject = Subject.of(document) if uid else Subject("v1", "Pod", document["metadata"]["name"], "blue")
    pods = GroupVersionResource("", "v1", "pods")
    return Draft("request", subject, pods, rows, (), "admission", content_hash(document))


async def _write(client: Client, *drafts: Draft, limit: int = 100) -> list[bool]:
    """Drops and writes, in their order."""
    counted: list[bool] = []
    writer = EphemeralReports(client, limit=limit, delay=0.0, counted=counted.append)
    for one in drafts:
        writer.put(one)
    task = asyncio.create_task(writer.run(1))
    await _until(lambda: len(counted) == len({id(one) for one in drafts}))
    task.cancel()
    return counted


async def _until(done: Callable[[], bool], timeout: float = 5.0) -> None:
    deadline = time.monotonic() + timeout
    while not done():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.02)


def test_rows_of_admission_reviews_join_the_scans_and_their_report_goes() -> None:
    async def run() -> None:
        api = MemoryApi()
        stored = api.put(path("x"), pod())
        async with running(api, policy(), policy("admission", background=False), collecting=True) as cluster:
            await cluster.settled({"x": {"teams": "fail"}})
            async with api.serve() as client:
                await _write(client, draft(stored, row("admission"), row("gone"), row("teams", result="pass", seconds=2**40)))
            await cluster.settled({"x": {"teams": "fail", "admission": "fail"}})
            await _until(lambda: not api.all("ephemeralreports"))
            api.put(path("x"), pod(team="a"))
            await cluster.settled({"x": {"teams": "pass", "admission": "fail"}})
            cluster.enforce(policy())
            cluster.aggregator.prune(lambda subject: False)
            await cluster.settled({"x": {"teams": "pass"}})

    asyncio.run(run())


def test_a_report_without_uid_finds_its_object_by_name_and_is_adopted() -> None:
    async def run() -> None:
        api = MemoryApi()
        stored = api.put(path("x"), pod())
        async with api.serve() as client:
            await _write(client, draft(stored, row("admission"), uid=False))
        (report,) = api.all("ephemeralreports")
        report["metadata"]["creationTimestamp"] = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 60))
        async with running(api, policy("admission", background=False), kinds={}, collecting=True) as cluster:
            await _until(lambda: bool(api.all("ephemeralreports")[0]["metadata"].get("ownerReferences")))
            assert api.all("ephemeralreports")[0]["metadata"]["ownerReferences"][0]["uid"] == stored["metadata"]["uid"]
            await cluster.settled({"x": {"admission": "fail"}})
            await _until(lambda: not api.all("ephemeralreports"))

    asyncio.run(run())


def test_a_report_whose_object_never_appeared_is_dropped() -> None:
    async def run() -> None:
        api = MemoryApi()
        async with api.serve() as client:
            await _write(
                client, draft({**pod(), "metadata": {"name": "never", "namespace": "blue", "uid": "u"}}, row("admission"))
            )
        assert len(api.all("ephemeralreports")) == 1
        async with running(api, policy("admission", background=False), kinds={}, collecting=True) as cluster:
            await _until(lambda: not api.all("ephemeralreports"))
            assert cluster.reports() == {}

    asyncio.run(run())


def test_ephemeral_reports_left_behind_by_a_crash_are_merged_few_at_a_time() -> None:
    async def run() -> None:
        api = MemoryApi()
        pods = [api.put(path(f"x{number}"), pod()) for number in range(300)]
        for number, stored in enumerate(pods):
            document = draft(stored, row("admission")).document()
            api.put(f"/apis/reports.kyverno.io/v1/namespaces/blue/ephemeralreports/r{number}", document)
        async with running(api, policy("admission", background=False), collecting=True) as cluster:
            most = 0

            def done() -> bool:
                nonlocal most
                most = max(most, len(cluster.collector._tasks))
                return not api.all("ephemeralreports")

            await _until(done, timeout=40)
            assert most <= collect.OUTSTANDING
            assert len(cluster.reports()) == 300

    asyncio.run(run())


def test_drafts_about_one_object_are_written_once_and_a_full_cluster_gets_no_more() -> None:
    async def run() -> None:
        api = MemoryApi()
        stored, other = api.put(path("x"), pod()), api.put(path("y"), pod())
        async with api.serve() as client:
            writer = EphemeralReports(client, limit=1, delay=0.0)
            writer.put(draft(stored, row("a", seconds=1), row("b")))
            writer.put(draft(stored, row("a", result="pass", seconds=2)))
            task = asyncio.create_task(writer.run(1))
            await _until(lambda: len(api.all("ephemeralreports")) == 1)
            writer.put(draft(other, row("a")))
            await writer.flush(1.0)
            await asyncio.sleep(0.1)
            task.cancel()
        (report,) = api.all("ephemeralreports")
        assert [(one["policy"], one["result"]) for one in report["spec"]["results"]] == [("a", "pass"), ("b", "fail")]
        labels = report["metadata"]["labels"]
        assert labels["audit.kyverno.io/source"] == "admission"
        assert labels["audit.kyverno.io/resource.uid"] == stored["metadata"]["uid"]
        assert labels["audit.kyverno.io/resource.gvr"] == "pods.v1"
        assert report["metadata"]["name"].startswith("request-")

    asyncio.run(run())


def test_the_hash_leaves_out_what_the_cluster_writes() -> None:
    plain = pod(app="a")
    assert content_hash(plain) == content_hash({**plain, "status": {"phase": "Running"}})
    assert content_hash(plain) == content_hash({**plain, "spec": {**plain["spec"], "nodeName": "n"}})
    assert content_hash(plain) == content_hash({**plain, "metadata": {**plain["metadata"], "resourceVersion": "7"}})
    assert content_hash(plain) != content_hash(pod(app="b"))
