"""Runs of cleanup policies on the real API server: what is deleted, what is left alone, what is told and recorded."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest

from controllers.cleanup.observe import event_of
from controllers.cleanup.sweep import DRY_RUN, Cleaned, Sweeper, Swept
from controllers.cluster.client import Client
from controllers.cluster.credentials import Credentials
from controllers.cluster.discovery import Discovery, Resource
from controllers.cluster.facts import World
from controllers.cluster.namespaces import Namespaces
from deploy.local.api import Api
from deploy.local.control_plane import ControlPlane
from engine import Request, compile_policy

Document = dict[str, Any]
VERBS = frozenset({"list", "watch", "delete"})
MAPS = Resource("", "v1", "ConfigMap", "configmaps", "", True, True, VERBS)
NODES = Resource("", "v1", "Node", "nodes", "", False, True, VERBS)
GONE = Resource("gone.example", "v1", "Gone", "gones", "", True, True, VERBS)
SERVED = Discovery.of([MAPS, NODES, GONE])
OURS = {"matchLabels": {"test": "cleanup"}}


class Place(NamedTuple):
    """A namespace of the test's own, with ConfigMaps."""

    api: Api
    credentials: Credentials
    namespace: str

    @property
    def maps(self) -> str:
        return f"/api/v1/namespaces/{self.namespace}/configmaps"

    def put(self, *names: str, **metadata: Any) -> None:
        labels = {"test": "cleanup", **metadata.pop("labels", {})}
        for name in names:
            body = {"metadata": {"name": name, "labels": labels, **metadata}}
            self.api.ask(self.maps, method="POST", body=body)

    def names(self) -> set[str]:
        items = self.api.ask(f"{self.maps}?labelSelector=test%3Dcleanup")["items"]
        return {item["metadata"]["name"] for item in items}

    def policy(self, *, kinds: tuple[str, ...] = ("ConfigMap",), **spec: Any) -> Document:
        return {
            "apiVersion": "kyverno.io/v2",
            "kind": "CleanupPolicy",
            "metadata": {"name": "p", "namespace": self.namespace, "uid": "u"},
            "spec": {
                "schedule": "* * * * *",
                "match": {"any": [{"resources": {"kinds": list(kinds), "selector": OURS}}]},
                **spec,
            },
        }

    def sweep(
        self, document: Document, *, excluded: Callable[[Request], bool] = lambda request: False, protect: bool = False
    ) -> tuple[Swept, list[Cleaned]]:
        told: list[Cleaned] = []

        async def run() -> Swept:
            async with Client(self.credentials) as client:
                sweeper = Sweeper(
                    client,
                    discovery=lambda: SERVED,
                    namespaces=Namespaces(),
                    world=World(client),
                    excluded=excluded,
                    protect_managed=protect,
                    cleaned=told.append,
                )
                return await sweeper.sweep(compile_policy(document))

        return asyncio.run(run()), told


@pytest.fixture
def place(control_plane: ControlPlane, credentials: Credentials, namespace: str) -> Place:
    return Place(control_plane.api, credentials, namespace)


def equals(path: str, value: str) -> Document:
    return {"all": [{"key": f"{{{{ {path} }}}}", "operator": "Equals", "value": value}]}


def test_a_sweep_deletes_what_matches_and_meets_the_conditions(place: Place) -> None:
    place.put("a", "b")
    swept, told = place.sweep(place.policy(conditions=equals("target.metadata.name", "b")))
    assert (place.names(), swept) == ({"a"}, Swept(1, 0, False))
    event = event_of(told[0])
    note = f"successfully cleaned up the target resource ConfigMap/{place.namespace}/b"
    assert (event.note, event.action, event.source) == (note, "Resource Cleaned Up", "kyverno-cleanup")
    assert (event.regarding.name, event.related is not None and event.related.name) == ("p", "b")


def test_contexts_are_looked_up(place: Place) -> None:
    place.put("a", "b")
    place.api.ask(place.maps, method="POST", body={"metadata": {"name": "wanted"}, "data": {"name": "a"}})
    call = {"name": "wanted", "apiCall": {"urlPath": f"{place.maps}/wanted", "jmesPath": "data.name"}}
    conditions = {"all": [{"key": "{{ target.metadata.name }}", "operator": "Equals", "value": "{{ wanted }}"}]}
    place.sweep(place.policy(context=[call], conditions=conditions))
    assert place.names() == {"b"}


def test_a_namespaced_policy_leaves_cluster_scoped_kinds_alone(place: Place) -> None:
    node = {"metadata": {"name": place.namespace, "labels": OURS["matchLabels"]}}
    place.api.ask("/api/v1/nodes", method="POST", body=node)
    place.sweep(place.policy(kinds=("Node", "ConfigMap")))
    assert place.api.find(f"/api/v1/nodes/{place.namespace}") is not None
    place.api.ask(f"/api/v1/nodes/{place.namespace}", method="DELETE")


def test_more_objects_than_a_page_holds_are_all_deleted(place: Place) -> None:
    place.put(*(f"map-{number}" for number in range(550)))
    assert place.sweep(place.policy())[0] == Swept(550, 0, False)
    assert place.names() == set()


def test_filtered_managed_and_dying_objects_are_left_alone(place: Place) -> None:
    place.put("filtered")
    place.put("managed", labels={"app.kubernetes.io/managed-by": "kyverno"})
    place.put("dying", finalizers=["example.com/wait"])
    place.api.ask(f"{place.maps}/dying", method="DELETE")
    swept, told = place.sweep(place.policy(), excluded=lambda request: request.name == "filtered", protect=True)
    assert (place.names(), swept.deleted, told) == ({"filtered", "managed", "dying"}, 0, [])
    patch = {"metadata": {"finalizers": None}}
    place.api.ask(f"{place.maps}/dying", method="PATCH", body=patch, content_type="application/merge-patch+json")


def test_a_dry_run_only_tells(place: Place) -> None:
    place.put("a")
    document = place.policy()
    document["metadata"]["annotations"] = {DRY_RUN: "true"}
    swept, told = place.sweep(document)
    assert (place.names(), swept.deleted) == ({"a"}, 0)
    assert event_of(told[0]).note == f"dry run: would clean up the target resource ConfigMap/{place.namespace}/a"


def test_a_condition_that_cannot_be_evaluated_deletes_nothing_and_is_told_some_times(place: Place) -> None:
    place.put(*(f"map-{number}" for number in range(20)))
    swept, told = place.sweep(place.policy(conditions=equals("target.spec.missing", "x")))
    assert (len(place.names()), swept) == (20, Swept(0, 20, False))
    assert sum(one.telling for one in told) == 10
    assert event_of(told[0]).reason == "PolicyError"


def test_a_kind_that_vanished_does_not_keep_the_others(place: Place) -> None:
    place.put("a")
    assert place.sweep(place.policy(kinds=("Gone", "ConfigMap")))[0] == Swept(1, 1, False)


def test_an_object_that_changes_meanwhile_is_judged_as_it_is_now(place: Place) -> None:
    place.put("one", "two")

    def excluded(request: Request) -> bool:
        """Between judgement and deletion of one object, somebody marks it."""
        if request.name == "two" and "keep" not in request.subject["metadata"]["labels"]:
            patch = {"metadata": {"labels": {"keep": "true"}}}
            path = f"{place.maps}/two"
            place.api.ask(path, method="PATCH", body=patch, content_type="application/merge-patch+json")
        return False

    conditions = equals("target.metadata.labels.keep || ''", "")
    assert place.sweep(place.policy(conditions=conditions), excluded=excluded)[0] == Swept(1, 0, False)
    assert place.names() == {"two"}
