"""Inventory, scan, aggregation and collection together, wired as the operator does it, on the real API server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

from controllers.cluster.client import Client
from controllers.cluster.credentials import Credentials
from controllers.cluster.discovery import Discovery, Resource
from controllers.cluster.facts import World
from controllers.cluster.namespaces import Namespaces
from controllers.reports import forms
from controllers.reports.aggregate import Aggregator
from controllers.reports.collect import Collector
from controllers.reports.in_force import rules_of
from controllers.reports.inventory import Inventory
from controllers.reports.scan import Scanned, Scanner
from deploy.local.api import Api
from engine import Effect, Object, PolicySet, compile_policy
from engine.report import Subject
from tests.controllers.line import until

PODS = Resource("", "v1", "Pod", "pods", "", True, True, frozenset({"list", "watch"}))
MAPS = Resource("", "v1", "ConfigMap", "configmaps", "", True, True, frozenset({"list", "watch"}))
KINDS = {("", "pods"): PODS}
RESULTS = frozenset({"pass", "fail", "warn", "error", "skip"})


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
        self.inventory = Inventory(client, scanner.inspect, workers=2, changed=self.aggregator.outdated)
        self.collector = Collector(
            client,
            aggregator=self.aggregator,
            inventory=self.inventory,
            discovery=lambda: Discovery.of((PODS, MAPS)),
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
