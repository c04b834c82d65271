"""GlobalContextEntries and lists that policies read, on a real API server: what they give, what they say when they cannot."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from deploy.local.api import Api, Refused
from deploy.local.control_plane import ControlPlane
from deploy.local.operators import Running
from tests.cluster.calls import CPOL, MAPS, config_map, denied, ready, until

pytestmark = pytest.mark.cluster
Document = dict[str, Any]
ENTRIES = "/apis/kyverno.io/v2/globalcontextentries"
EVENTS = "/apis/events.k8s.io/v1/namespaces/default/events"
ROLES = "/apis/rbac.authorization.k8s.io/v1/clusterroles"
CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
SHELF = "/api/v1/namespaces/shelf/configmaps"
GADGETS = "/apis/test.example/v1/gadgets"
WATCHED = {"version": "v1", "resource": "configmaps", "namespace": "shelf"}
Apply = Callable[[Document], Document]


def telling(name: str, **context: Any) -> Document:
    """A policy that refuses ConfigMaps called like itself and says what the context entry `found` holds."""
    never = {"key": "{{ found }}", "operator": "NotEquals", "value": "nothing of the kind"}
    rule = {
        "name": "tell",
        "match": {"any": [{"resources": {"kinds": ["ConfigMap"], "names": [name], "namespaces": ["default"]}}]},
        "context": [{"name": "found", **context}],
        "validate": {"failureAction": "Enforce", "message": "found {{ found }}.", "deny": {"conditions": {"any": [never]}}},
    }
    return {
        "apiVersion": "kyverno.io/v1",
        "kind": "ClusterPolicy",
        "metadata": {"name": name},
        "spec": {"background": False, "rules": [rule]},
    }


def told(api: Api, name: str) -> str:
    return denied(api, MAPS, config_map(name))


@pytest.fixture(scope="module")
def shelf(api: Api) -> Iterator[None]:
    """A namespace with two ConfigMaps."""
    api.ask("/api/v1/namespaces", method="POST", body={"metadata": {"name": "shelf"}})
    for name in ("one", "two"):
        api.ask(SHELF, method="POST", body=config_map(name, n="1"))
    yield
    api.ask("/api/v1/namespaces/shelf", method="DELETE")


@pytest.fixture
def entry(api: Api) -> Iterator[Callable[..., None]]:
    """Creates entries that go with the test."""
    made: list[str] = []

    def create(name: str, projections: dict[str, str] | None = None, **spec: Any) -> None:
        projected = [{"name": one, "jmesPath": path} for one, path in (projections or {}).items()]
        body = {"apiVersion": "kyverno.io/v2", "kind": "GlobalContextEntry", "metadata": {"name": name}}
        api.ask(ENTRIES, method="POST", body={**body, "spec": {**spec, "projections": projected}})
        made.append(name)

    yield create
    for name in made:
        if api.find(f"{ENTRIES}/{name}") is not None:
            api.ask(f"{ENTRIES}/{name}", method="DELETE")


@pytest.fixture
def gadgets(api: Api) -> Iterator[Callable[..., None]]:
    """`gadgets(verbs)` serves a kind that the admission controller may use in these ways; called again, it renews the right."""

    def serve(*verbs: str) -> None:
        metadata = {"name": "test:gadgets", "labels": {"rbac.kyverno.io/aggregate-to-admission-controller": "true"}}
        rules = [{"apiGroups": ["test.example"], "resources": ["gadgets"], "verbs": list(verbs) or ["get"]}]
        known = api.find(f"{ROLES}/test:gadgets")
        api.ask(
            f"{ROLES}/test:gadgets" if known else ROLES,
            method="PUT" if known else "POST",
            body={"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": metadata, "rules": rules},
        )
        if api.find(f"{CRDS}/gadgets.test.example") is None:
            api.ask(CRDS, method="POST", body=CRD)
            until(lambda: api.find(GADGETS))

    yield serve
    for path in (f"{CRDS}/gadgets.test.example", f"{ROLES}/test:gadgets"):
        if api.find(path) is not None:
            api.ask(path, method="DELETE")


CRD: Document = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": "gadgets.test.example"},
    "spec": {
        "group": "test.example",
        "names": {"kind": "Gadget", "plural": "gadgets", "singular": "gadget", "listKind": "GadgetList"},
        "scope": "Cluster",
        "versions": [{"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": {"type": "object"}}}],
    },
}


def is_ready(api: Api, name: str) -> Document:
    return dict(until(lambda: ready(api.ask(f"{ENTRIES}/{name}")), timeout=30)["status"])


def is_not_ready(api: Api, name: str, text: str) -> None:
    def condition() -> bool:
        conditions = (api.ask(f"{ENTRIES}/{name}").get("status") or {}).get("conditions") or [{}]
        return conditions[0].get("status") == "False" and text in conditions[0]["message"]

    until(condition, timeout=30)


def test_objects_of_a_kind_are_counted_as_they_come_and_go(api: Api, apply: Apply, shelf: None, entry: Any) -> None:
    names = "[?starts_with(metadata.name, 'kube') == `false`].metadata.name"
    entry("shelf", {"names": names}, kubernetesResource=WATCHED)
    apply(telling("by-projection", globalReference={"name": "shelf.names", "jmesPath": "join(',', @)"}))
    apply(telling("by-path", globalReference={"name": "shelf", "jmesPath": f"length({names})"}))
    assert "lastRefreshTime" not in is_ready(api, "shelf")
    assert "found one,two." in told(api, "by-projection")
    assert "found 2." in told(api, "by-path")
    api.ask(SHELF, method="POST", body=config_map("three"))
    until(lambda: "found one,three,two." in told(api, "by-projection") and "found 3." in told(api, "by-path"), timeout=5)
    api.ask(f"{SHELF}/three", method="DELETE")
    until(lambda: "found 2." in told(api, "by-path"), timeout=5)


def test_an_entry_that_is_deleted_in_mid_flight_is_missed_and_found_again(
    api: Api, apply: Apply, shelf: None, entry: Any
) -> None:
    apply(telling("flying", globalReference={"name": "flight", "jmesPath": "length(@)"}))
    assert "failed to fetch entry key=flight" in told(api, "flying")
    entry("flight", kubernetesResource=WATCHED)
    until(lambda: re.search(r"found \d\.", told(api, "flying")), timeout=5)
    api.ask(f"{ENTRIES}/flight", method="DELETE")
    until(lambda: "failed to fetch entry key=flight" in told(api, "flying"), timeout=5)


def test_a_call_is_repeated(api: Api, apply: Apply, shelf: None, entry: Any) -> None:
    call = {"urlPath": f"{SHELF}?labelSelector=called", "refreshInterval": "1s"}
    entry("called", {"n": "length(items)"}, apiCall=call)
    apply(telling("calling", globalReference={"name": "called.n"}))
    assert is_ready(api, "called")["lastRefreshTime"]
    assert "found 0." in told(api, "calling")
    api.ask(SHELF, method="POST", body={**config_map("called"), "metadata": {"name": "called", "labels": {"called": ""}}})
    until(lambda: "found 1." in told(api, "calling"), timeout=10)
    api.ask(f"{SHELF}/called", method="DELETE")


def test_a_kind_that_vanishes_takes_the_data_with_it_and_brings_it_back(api: Api, apply: Apply, entry: Any, gadgets: Any) -> None:
    gadgets("list", "watch")
    entry("gadgets", kubernetesResource={"group": "test.example", "version": "v1", "resource": "gadgets"})
    apply(telling("gadgeteer", globalReference={"name": "gadgets", "jmesPath": "length(@)"}))
    is_ready(api, "gadgets")
    api.ask(GADGETS, method="POST", body={"apiVersion": "test.example/v1", "kind": "Gadget", "metadata": {"name": "a"}})
    until(lambda: "found 1." in told(api, "gadgeteer"), timeout=5)
    api.ask(f"{CRDS}/gadgets.test.example", method="DELETE")
    is_not_ready(api, "gadgets", "could not find the requested resource")
    assert "global context entry gadgets is not ready" in told(api, "gadgeteer")
    until(lambda: [e for e in api.ask(EVENTS)["items"] if e["reason"] == "FailedToList" and e["regarding"]["name"] == "gadgets"])
    gadgets("list", "watch")
    is_ready(api, "gadgets")
    assert "found 0." in told(api, "gadgeteer")


def test_what_is_forbidden_is_said_and_right_when_it_is_allowed(api: Api, apply: Apply, entry: Any, gadgets: Any) -> None:
    gadgets()
    entry("forbidden", apiCall={"urlPath": GADGETS, "refreshInterval": "1h", "retryLimit": 1})
    entry("unseen", kubernetesResource={"group": "test.example", "version": "v1", "resource": "gadgets"})
    apply(telling("asking", globalReference={"name": "forbidden", "jmesPath": "length(items)"}))
    is_not_ready(api, "forbidden", "permission denied: ")
    is_not_ready(api, "unseen", "permission denied: ")
    assert "permission denied: " in told(api, "asking")
    until(lambda: [e for e in api.ask(EVENTS)["items"] if e["reason"] == "FailedToCallAPI"])
    gadgets("list", "watch")
    is_ready(api, "forbidden")
    is_ready(api, "unseen")
    assert "found 0." in told(api, "asking")


@pytest.mark.parametrize(
    ("spec", "text"),
    [
        ({"kubernetesResource": WATCHED, "projections": [{"name": "p", "jmesPath": "a["}]}, "spec.projections[0].jmesPath: "),
        (
            {"kubernetesResource": {"version": "v1", "resource": "pods?watch=1"}},
            "spec.kubernetesResource.resource: `pods?wa",
        ),
        ({"apiCall": {"urlPath": SHELF, "refreshInterval": "1d"}}, "spec.apiCall.refreshInterval: "),
    ],
)
def test_entries_that_nothing_could_be_read_by_are_refused_with_the_place(api: Api, spec: Document, text: str) -> None:
    body = {"apiVersion": "kyverno.io/v2", "kind": "GlobalContextEntry", "metadata": {"name": "wrong"}, "spec": spec}
    assert text in denied(api, ENTRIES, body)


def restarted(control_plane: ControlPlane, name: str) -> None:
    pid = control_plane.processes.pid(name)
    assert pid is not None
    command = Path(f"/proc/{pid}/cmdline").read_text().split("\0")[:-1]
    control_plane.processes.stop([name], patience=5)
    control_plane.processes.start(name, command)


def lists(api_metrics: str, resource: str) -> float:
    pattern = rf'apiserver_request_total\{{[^}}]*resource="{resource}"[^}}]*verb="LIST"[^}}]*\}} (\S+)'
    return sum(map(float, re.findall(pattern, api_metrics)))


def test_lists_that_policies_name_are_read_once(control_plane: ControlPlane, api: Api, apply: Apply, shelf: None) -> None:
    place = "/api/v1/namespaces/{{ request.object.data.where }}/serviceaccounts"
    apply(telling("counting", apiCall={"urlPath": place, "jmesPath": "length(items)"}))

    def counted(where: str) -> str:
        return denied(api, MAPS, config_map("counting", where=where))

    before = counted("shelf")
    body = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "more"}}
    api.ask("/api/v1/namespaces/shelf/serviceaccounts", method="POST", body=body)
    until(lambda: counted("shelf") != before, timeout=5)
    asked = lists(control_plane.kubectl("get", "--raw", "/metrics"), "serviceaccounts")
    for _ in range(20):
        assert "found 0." in counted("nowhere")
    assert lists(control_plane.kubectl("get", "--raw", "/metrics"), "serviceaccounts") == asked


def test_a_list_that_may_not_be_watched_is_read_each_time(
    control_plane: ControlPlane, admission: Running, api: Api, apply: Apply, gadgets: Any
) -> None:
    gadgets("list")
    time.sleep(1)  # roles are aggregated by a controller
    apply(telling("reading", apiCall={"urlPath": GADGETS, "jmesPath": "length(items)"}))
    until(lambda: "found 0." in told(api, "reading"), timeout=15)
    api.ask(GADGETS, method="POST", body={"apiVersion": "test.example/v1", "kind": "Gadget", "metadata": {"name": "a"}})
    assert "found 1." in told(api, "reading")
    log = control_plane.processes.log(admission.name).read_text()
    assert log.count(f"{GADGETS} is not kept in memory") == 1


def test_a_restarted_api_server_is_followed_again(
    control_plane: ControlPlane, api: Api, apply: Apply, shelf: None, entry: Any
) -> None:
    entry("lasting", kubernetesResource=WATCHED)
    apply(telling("lasts", globalReference={"name": "lasting", "jmesPath": "[].metadata.name | join(',', @)"}))
    assert "one,two" in told(api, "lasts")
    restarted(control_plane, "kube-apiserver")

    def answers() -> bool:
        try:
            return api.find(CPOL) is not None
        except (Refused, OSError):
            return False

    until(answers, timeout=60)
    api.ask(SHELF, method="POST", body=config_map("after"))
    until(lambda: "after" in told(api, "lasts"), timeout=30)
    api.ask(f"{SHELF}/after", method="DELETE")


def test_background_scans_read_entries_too(api: Api, apply: Apply, shelf: None, entry: Any, run_operator: Any) -> None:
    entry("scanned", {"names": "[].metadata.name"}, kubernetesResource=WATCHED)
    policy = telling("scanning", globalReference={"name": "scanned.names", "jmesPath": "contains(@, 'two')"})
    (rule,) = policy["spec"]["rules"]
    rule["match"] = {"any": [{"resources": {"kinds": ["ConfigMap"], "names": ["one"], "namespaces": ["shelf"]}}]}
    rule["validate"]["failureAction"] = "Audit"
    policy["spec"]["background"] = True
    run_operator("reports")
    apply(policy)

    def rows() -> list[str]:
        reports = api.ask("/apis/wgpolicyk8s.io/v1alpha2/namespaces/shelf/policyreports")["items"]
        return [row["message"] for report in reports for row in report["results"] if row["policy"] == "scanning"]

    until(lambda: "found true." in rows(), timeout=30)
