"""Inventory, scan, aggregation and collection together, wired as the operator does it, on the real API server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest

from controllers.cluster.client import Client
from controllers.cluster.credentials import Credentials
from controllers.cluster.discovery import Resource
from controllers.cluster.ephemeral_reports import Draft, EphemeralReports, content_hash
from controllers.cluster.facts import World
from controllers.cluster.namespaces import Namespaces
from controllers.reports import collect, forms
from controllers.reports.aggregate import Aggregator
from controllers.reports.collect import Collector
from controllers.reports.in_force import rules_of
from controllers.reports.inventory import Inventory
from controllers.reports.scan import Scanned, Scanner
from deploy.local.api import Api
from deploy.local.control_plane import ControlPlane
from engine import Effect, GroupVersionResource, Object, PolicySet, compile_policy
from engine.report import Subject
from tests.controllers.line import until

PODS = Resource("", "v1", "Pod", "pods", "", True, True, frozenset({"list", "watch"}))
MAPS = Resource("", "v1", "ConfigMap", "configmaps", "", True, True, frozenset({"list", "watch"}))
KINDS = {("", "pods"): PODS}
RESULTS = frozenset({"pass", "fail", "warn", "error", "skip"})
RBAC = "/apis/rbac.authorization.k8s.io/v1"


class Place:
    """One namespace of the cluster, and how to change what is in it. `api` waits for answers, as `kubectl` would."""

    def __init__(self, api: Api, credentials: Credentials, namespace: str) -> None:
        self.api = api
        self.credentials = credentials
        self.namespace = namespace
        core = f"/api/v1/namespaces/{namespace}"
        self.pods, self.maps = f"{core}/pods", f"{core}/configmaps"
        self.polr = f"/apis/wgpolicyk8s.io/v1alpha2/namespaces/{namespace}/policyreports"
        self.ephr = f"/apis/reports.kyverno.io/v1/namespaces/{namespace}/ephemeralreports"

    def all(self, path: str) -> list[Object]:
        return list(self.api.ask(path)["items"])

    def pod(self, name: str, **labels: str) -> Object:
        """Creates a Pod."""
        metadata = {"name": name, "labels": labels}
        return dict(self.api.ask(self.pods, method="POST", body={**pod(), "metadata": metadata}))

    def merge(self, path: str, patch: Object) -> None:
        self.api.ask(path, method="PATCH", body=patch, content_type="application/merge-patch+json")

    def label(self, name: str, **labels: str) -> None:
        """Sets labels of a Pod."""
        self.merge(f"{self.pods}/{name}", {"metadata": {"labels": labels}})

    def reports(self) -> dict[str, dict[str, str]]:
        """Object -> policy -> result, of all reports."""
        return {
            report["scope"]["name"]: {row["policy"]: row["result"] for row in report["results"]}
            for report in self.all(self.polr)
            if report["scope"]["name"] != "kube-root-ca.crt"
        }

    def policy(
        self, name: str = "teams", label: str = "team", *, kind: str = "Pod", background: bool = True, labels: Any = None
    ) -> Object:
        """A policy about objects of this namespace."""
        body = {"message": f"{label} is needed", "pattern": {"metadata": {"labels": {label: "?*"}}}}
        match = {"any": [{"resources": {"kinds": [kind], "namespaces": [self.namespace]}}]}
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
    containers = [{"name": "c", "image": "nginx"}]
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"labels": labels}, "spec": {"containers": containers}}


@pytest.fixture
def place(control_plane: ControlPlane, credentials: Credentials, namespace: str) -> Iterator[Place]:
    """Scans look at the whole cluster: so what a test made is gone before the next one."""
    here = Place(control_plane.api, credentials, namespace)
    yield here
    for path in (here.pods, here.maps, here.ephr, here.polr):
        here.api.ask(path, method="DELETE")


class Cluster:
    """The parts of the reports operator."""

    def __init__(self, place: Place, client: Client, documents: tuple[Object, ...], **times: float) -> None:
        self.place = place
        self.policies = PolicySet([compile_policy(document) for document in documents])
        self.counts: list[str] = []
        self._scanned: list[Scanned] = []
        self._lost: list[Subject] = []
        rules = lambda: rules_of(self.policies, scanning=True, reporting=tuple(Effect))  # noqa: E731
        self.aggregator = Aggregator(
            client, forms.POLICY_REPORTS, rules=rules, lost=self._lost.append, counted=self.counts.append
        )
        scanner = Scanner(
            policies=lambda: self.policies,
            namespaces=Namespaces(),
            world=World(client),
            aggregator=self.aggregator,
            excluded=lambda request: False,
            allowed=RESULTS,
            looked=self._scanned.append,
        )
        self.inventory = Inventory(client, scanner.inspect)
        self.collector = Collector(
            client,
            aggregator=self.aggregator,
            inventory=self.inventory,
            rules=rules,
            allowed=RESULTS,
            mine=lambda uid: True,
            **times,
        )

    def scanned(self) -> list[str]:
        """The names of the objects that were looked at, in their order."""
        return [one.request.name for one in self._scanned if one.request.namespace == self.place.namespace]

    def lost(self) -> list[str]:
        """The names of the objects whose reports somebody else deleted or changed."""
        return [subject.name for subject in self._lost if subject.namespace == self.place.namespace]

    def enforce(self, *documents: Object) -> None:
        self.policies = PolicySet([compile_policy(document) for document in documents])

    async def settled(self, wanted: dict[str, dict[str, str]]) -> None:
        """Until the reports say this."""
        found: dict[str, dict[str, str]] = {}

        def done() -> bool:
            nonlocal found
            found = self.place.reports()
            return found == wanted and not self.aggregator.waiting

        try:
            await until(done)
        except TimeoutError:
            raise AssertionError(f"{found} instead of {wanted}") from None

    def writes(self) -> int:
        return sum(self.counts.count(what) for what in ("created", "updated", "deleted"))


@asynccontextmanager
async def running(
    place: Place, *documents: Object, kinds: Any = KINDS, collecting: bool = False, token: str = "", **times: float
) -> AsyncIterator[Cluster]:
    credentials = replace(place.credentials, token=token) if token else place.credentials
    async with Client(credentials) as client:
        cluster = Cluster(place, client, documents, **times)
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


def row(name: str, rule: str = "team", result: str = "fail", seconds: int = 5) -> Object:
    stamp = {"seconds": seconds, "nanos": 0}
    return {"source": "kyverno", "policy": name, "rule": rule, "result": result, "scored": True, "timestamp": stamp}


def draft(document: Object, *rows: Object, uid: bool = True) -> Draft:
    metadata = document["metadata"]
    subject = Subject("v1", "Pod", metadata["name"], metadata["namespace"], metadata["uid"] if uid else "")
    pods = GroupVersionResource("", "v1", "pods")
    return Draft("request", subject, pods, rows, (), "admission", content_hash(document))


async def write(place: Place, *drafts: Draft) -> None:
    """Stores what admission reviews found."""
    counted: list[bool] = []
    async with Client(place.credentials) as client:
        writer = EphemeralReports(client, limit=1000, delay=0.0, counted=counted.append)
        for one in drafts:
            writer.put(one)
        task = asyncio.create_task(writer.run(8))
        await until(lambda: len(counted) == len(drafts))
        task.cancel()
    assert not any(counted), "dropped"


def test_rows_of_admission_reviews_join_the_scans_and_their_report_goes(place: Place) -> None:
    async def run() -> None:
        stored = place.pod("x")
        policies = place.policy(), place.policy("admission", background=False)
        async with running(place, *policies, collecting=True, hold=0.0) as cluster:
            await cluster.settled({"x": {"teams": "fail"}})
            await write(place, draft(stored, row("admission"), row("gone"), row("teams", result="pass", seconds=2**40)))
            await cluster.settled({"x": {"teams": "fail", "admission": "fail"}})
            await until(lambda: not place.all(place.ephr))
            place.label("x", team="a")
            await cluster.settled({"x": {"teams": "pass", "admission": "fail"}})
            cluster.enforce(place.policy())
            cluster.aggregator.prune(lambda subject: False)
            await cluster.settled({"x": {"teams": "pass"}})

    asyncio.run(run())


def test_a_report_without_uid_finds_its_object_by_name_and_is_adopted(place: Place) -> None:
    async def run() -> None:
        stored = place.pod("x")
        policy = place.policy("admission", background=False)
        async with running(place, policy, kinds={}, collecting=True, hold=5.0) as cluster:
            await write(place, draft(stored, row("admission"), uid=False))
            owners: list[Object] = []

            def adopted() -> bool:
                owners[:] = [owner for report in place.all(place.ephr) for owner in report["metadata"].get("ownerReferences", ())]
                return bool(owners)

            await until(adopted)
            assert owners[0]["uid"] == stored["metadata"]["uid"]
            await cluster.settled({"x": {"admission": "fail"}})
            await until(lambda: not place.all(place.ephr))

    asyncio.run(run())


def test_a_report_whose_object_never_appeared_is_dropped_in_the_end(place: Place) -> None:
    async def run() -> None:
        never = {**pod(), "metadata": {"name": "never", "namespace": place.namespace, "uid": "u"}}
        await write(place, draft(never, row("admission")))
        assert len(place.all(place.ephr)) == 1
        policy = place.policy("admission", background=False)
        async with running(place, policy, kinds={}, collecting=True, patience=1.0) as cluster:
            await until(lambda: not place.all(place.ephr))
            assert place.reports() == {}
            assert cluster.writes() == 0

    asyncio.run(run())


def test_ephemeral_reports_left_behind_by_a_crash_are_merged_few_at_a_time(place: Place) -> None:
    async def run() -> None:
        count = collect.OUTSTANDING + 20
        async with Client(place.credentials) as client:
            bodies = ({**pod(), "metadata": {"name": f"x{number}"}} for number in range(count))
            pods = await asyncio.gather(*(client.create(place.pods, body) for body in bodies))
        await write(place, *(draft(stored, row("admission")) for stored in pods))
        async with running(place, place.policy("admission", background=False), collecting=True, hold=0.0) as cluster:
            most = 0

            def done() -> bool:
                nonlocal most
                most = max(most, len(cluster.collector._tasks))
                return cluster.counts.count("created") == count and not cluster.collector._tasks

            await until(done, timeout=60)
            assert 0 < most <= collect.OUTSTANDING
            assert place.all(place.ephr) == []
            assert len(place.reports()) == count

    asyncio.run(run())


def test_drafts_about_one_object_are_written_once_and_a_full_cluster_gets_no_more(place: Place) -> None:
    async def run() -> None:
        stored, other = place.pod("x"), place.pod("y")
        dropped: list[bool] = []
        async with Client(place.credentials) as client:
            writer = EphemeralReports(client, limit=1, delay=0.0, counted=dropped.append)
            writer.put(draft(stored, row("a", seconds=1), row("b")))
            writer.put(draft(stored, row("a", result="pass", seconds=2)))
            task = asyncio.create_task(writer.run(1))
            await until(lambda: dropped == [False])
            writer.put(draft(other, row("a")))
            await until(lambda: dropped == [False, True])
            task.cancel()
        (report,) = place.all(place.ephr)
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
