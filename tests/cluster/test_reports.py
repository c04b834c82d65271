"""The reports operator on a real API server: from policies and objects to PolicyReports, with several replicas and a kill."""

from __future__ import annotations

import os
import signal
import time
import urllib.request
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from deploy.local.api import Api
from deploy.local.control_plane import ControlPlane
from deploy.local.operators import Operators, Running

pytestmark = pytest.mark.cluster
Document = dict[str, Any]
NAMESPACE = "reported"
CPOL = "/apis/kyverno.io/v1/clusterpolicies"
POLR = f"/apis/wgpolicyk8s.io/v1alpha2/namespaces/{NAMESPACE}/policyreports"
EPHR = f"/apis/reports.kyverno.io/v1/namespaces/{NAMESPACE}/ephemeralreports"
MAPS = f"/api/v1/namespaces/{NAMESPACE}/configmaps"
SECRETS = f"/api/v1/namespaces/{NAMESPACE}/secrets"
EXCEPTIONS = f"/apis/kyverno.io/v2/namespaces/{NAMESPACE}/policyexceptions"
FIRST = 5.0
"""Seconds within which a change shows in a report."""


def policy(name: str, label: str = "team", *, kind: str = "ConfigMap", **spec: Any) -> Document:
    resources = {"kinds": [kind], **spec.pop("resources", {"namespaces": [NAMESPACE]})}
    rule = {
        "name": label,
        "match": {"any": [{"resources": resources}]},
        "validate": {
            "failureAction": "Audit",
            "message": f"{label} is needed",
            "pattern": {"metadata": {"labels": {label: "?*"}}},
        },
    }
    return {"apiVersion": "kyverno.io/v1", "kind": "ClusterPolicy", "metadata": {"name": name}, "spec": {"rules": [rule], **spec}}


def config_map(name: str, **labels: str) -> Document:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "labels": labels}}


@pytest.fixture(scope="module")
def running(operators: Operators, control_plane: ControlPlane) -> Iterator[Running]:
    """One operator, with exceptions on, that the tests of this module share."""
    api = control_plane.api
    api.ask("/api/v1/namespaces", method="POST", body={"metadata": {"name": NAMESPACE}})
    yield operators.start("reports", flags={"enablePolicyException": "true", "exceptionNamespace": "*"})
    operators.stop("reports")


@pytest.fixture
def api(control_plane: ControlPlane, running: Running) -> Iterator[Api]:
    """The API server; objects that a test makes here are gone after it."""
    api = control_plane.api
    yield api
    for path in (CPOL, EXCEPTIONS, MAPS, SECRETS, EPHR):
        for item in api.ask(path)["items"]:
            if item["metadata"]["name"] != "kube-root-ca.crt":
                api.ask(f"{path}/{item['metadata']['name']}", method="DELETE")
    until(lambda: reports(api) == {})


def until(done: Callable[[], Any], *, timeout: float = 15.0) -> Any:
    """The first true answer."""
    deadline = time.monotonic() + timeout
    while True:
        answer = done()
        if answer:
            return answer
        assert time.monotonic() < deadline, f"not within {timeout} s"
        time.sleep(0.05)


def reports(api: Api) -> dict[str, dict[str, str]]:
    """Object -> policy -> result."""
    found = {}
    for report in api.ask(POLR)["items"]:
        name = report["scope"]["name"]
        if name != "kube-root-ca.crt":
            found[name] = {row["policy"]: row["result"] for row in report["results"]}
    return found


def wait_for(api: Api, wanted: dict[str, dict[str, str]], *, timeout: float = FIRST) -> None:
    deadline = time.monotonic() + timeout
    while (found := reports(api)) != wanted:
        assert time.monotonic() < deadline, f"{found} instead of {wanted}"
        time.sleep(0.05)


def test_a_report_follows_its_object_and_its_policy(api: Api) -> None:
    created = api.ask(MAPS, method="POST", body=config_map("x"))
    api.ask(CPOL, method="POST", body=policy("teams"))
    wait_for(api, {"x": {"teams": "fail"}})
    (report,) = (r for r in api.ask(POLR)["items"] if r["scope"]["name"] == "x")
    assert report["metadata"]["name"] == created["metadata"]["uid"]
    assert report["metadata"]["ownerReferences"][0]["uid"] == created["metadata"]["uid"]
    assert report["summary"] == {"pass": 0, "fail": 1, "warn": 0, "error": 0, "skip": 0}
    api.ask(f"{MAPS}/x", method="PUT", body=config_map("x", team="a"))
    wait_for(api, {"x": {"teams": "pass"}})
    api.ask(CPOL, method="POST", body=policy("apps", "app"))
    wait_for(api, {"x": {"teams": "pass", "apps": "fail"}})
    api.ask(f"{CPOL}/teams", method="DELETE")
    wait_for(api, {"x": {"apps": "fail"}})
    api.ask(f"{MAPS}/x", method="DELETE")
    wait_for(api, {}, timeout=60)  # the garbage collector learns of new kinds every half minute
    api.ask(f"{CPOL}/apps", method="DELETE")


def test_an_exception_turns_failures_into_skips_and_back(api: Api) -> None:
    api.ask(MAPS, method="POST", body=config_map("x"))
    api.ask(CPOL, method="POST", body=policy("teams"))
    wait_for(api, {"x": {"teams": "fail"}})
    match = {"any": [{"resources": {"kinds": ["ConfigMap"]}}]}
    spec = {"match": match, "exceptions": [{"policyName": "teams", "ruleNames": ["team"]}]}
    exception = {"apiVersion": "kyverno.io/v2", "kind": "PolicyException", "metadata": {"name": "e"}, "spec": spec}
    api.ask(EXCEPTIONS, method="POST", body=exception)
    wait_for(api, {"x": {"teams": "skip"}})
    api.ask(f"{EXCEPTIONS}/e", method="DELETE")
    wait_for(api, {"x": {"teams": "fail"}})


def test_labels_of_the_namespace_count(api: Api) -> None:
    api.ask(MAPS, method="POST", body=config_map("x"))
    selector = {"namespaceSelector": {"matchLabels": {"watched": "yes"}}, "names": ["x"]}
    api.ask(CPOL, method="POST", body=policy("teams", resources=selector))
    time.sleep(1)
    assert reports(api) == {}
    labels = {"metadata": {"labels": {"watched": "yes"}}}
    patch = "application/merge-patch+json"
    api.ask(f"/api/v1/namespaces/{NAMESPACE}", method="PATCH", body=labels, content_type=patch)
    wait_for(api, {"x": {"teams": "fail"}})
    labels["metadata"]["labels"]["watched"] = "no"
    api.ask(f"/api/v1/namespaces/{NAMESPACE}", method="PATCH", body=labels, content_type=patch)
    wait_for(api, {})


def test_a_kind_that_may_not_be_read_stops_no_other(api: Api, running: Running) -> None:
    api.ask(MAPS, method="POST", body=config_map("x"))
    api.ask(SECRETS, method="POST", body={"metadata": {"name": "s"}})
    api.ask(CPOL, method="POST", body=policy("secrets", kind="Secret"))
    api.ask(CPOL, method="POST", body=policy("teams"))
    wait_for(api, {"x": {"teams": "fail"}})
    until(lambda: 'pyvern_scan_kinds{state="failing"} 1.0' in metrics(running))


def test_a_report_that_somebody_deletes_comes_back(api: Api) -> None:
    created = api.ask(MAPS, method="POST", body=config_map("x"))
    api.ask(CPOL, method="POST", body=policy("teams"))
    wait_for(api, {"x": {"teams": "fail"}})
    path = f"{POLR}/{created['metadata']['uid']}"
    first = api.ask(path)["metadata"]["uid"]
    api.ask(path, method="DELETE")
    until(lambda: (api.find(path) or {}).get("metadata", {}).get("uid") not in (None, first))


def test_an_object_of_a_megabyte_has_a_report(api: Api) -> None:
    api.ask(MAPS, method="POST", body={**config_map("big"), "data": {"text": "x" * 1_000_000}})
    api.ask(CPOL, method="POST", body=policy("teams"))
    wait_for(api, {"big": {"teams": "fail"}})


def test_admission_results_of_policies_that_are_not_scanned_are_reported(api: Api, admission: Running) -> None:
    api.ask(CPOL, method="POST", body=policy("admitted", background=False))
    until(lambda: _ready(api.ask(f"{CPOL}/admitted")))
    time.sleep(0.5)
    api.ask(MAPS, method="POST", body=config_map("x"))
    wait_for(api, {"x": {"admitted": "fail"}}, timeout=10)
    (report,) = (r for r in api.ask(POLR)["items"] if r["scope"]["name"] == "x")
    assert report["results"][0]["properties"]["process"] == "admission review"
    until(lambda: api.ask(EPHR)["items"] == [])
    api.ask(f"{CPOL}/admitted", method="DELETE")
    wait_for(api, {})


def _ready(document: Document) -> bool:
    conditions = (document.get("status") or {}).get("conditions") or []
    return any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)


def test_a_violation_is_an_event_on_the_object(api: Api) -> None:
    api.ask(MAPS, method="POST", body=config_map("x"))
    api.ask(CPOL, method="POST", body=policy("teams"))
    path = f"/apis/events.k8s.io/v1/namespaces/{NAMESPACE}/events"

    def mine() -> list[Document]:
        uid = api.ask(f"{MAPS}/x")["metadata"]["uid"]
        return [event for event in api.ask(path)["items"] if (event.get("regarding") or {}).get("uid") == uid]

    (event,) = until(mine)
    assert event["note"].startswith("policy teams/team fail: validation error: team is needed.")
    assert (event["reason"], event["reportingController"]) == ("PolicyViolation", "kyverno-scan")


def test_three_replicas_share_the_objects_and_survive_a_kill(
    api: Api, operators: Operators, control_plane: ControlPlane, running: Running
) -> None:
    replicas = [running, *(operators.start("reports", name=name) for name in ("reports-2", "reports-3"))]
    try:
        until(lambda: all("pyvern_replicas 3.0" in metrics(replica) for replica in replicas), timeout=20)
        api.ask(CPOL, method="POST", body=policy("teams"))
        for number in range(30):
            api.ask(MAPS, method="POST", body=config_map(f"x{number}"))
        wait_for(api, {f"x{number}": {"teams": "fail"} for number in range(30)}, timeout=10)
        created = [_figure(replica, 'pyvern_reports_total{what="created"}') for replica in replicas]
        assert min(created) > 0
        victim = control_plane.processes.pid("reports-3")
        assert victim is not None
        os.kill(victim, signal.SIGKILL)
        for number in range(30):
            api.ask(f"{MAPS}/x{number}", method="PUT", body=config_map(f"x{number}", team="a"))
        wait_for(api, {f"x{number}": {"teams": "pass"} for number in range(30)}, timeout=15)
    finally:
        for name in ("reports-2", "reports-3"):
            operators.stop(name)


def test_a_replica_killed_in_the_middle_of_a_scan_goes_on_where_it_stopped(
    api: Api, operators: Operators, control_plane: ControlPlane, running: Running
) -> None:
    for number in range(150):
        api.ask(MAPS, method="POST", body=config_map(f"x{number}"))
    api.ask(CPOL, method="POST", body=policy("teams", resources={"namespaces": [NAMESPACE], "names": ["x*"]}))
    until(lambda: reports(api))
    victim = control_plane.processes.pid("reports")
    assert victim is not None
    os.kill(victim, signal.SIGKILL)
    operators.stop("reports")
    again = operators.start("reports", flags={"enablePolicyException": "true", "exceptionNamespace": "*"})
    wait_for(api, {f"x{number}": {"teams": "fail"} for number in range(150)}, timeout=30)
    until(lambda: _figure(again, "pyvern_reports_waiting") == 0)
    assert _figure(again, 'pyvern_reports_total{what="updated"}') == 0


def metrics(running: Running) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{running.metrics_port}/metrics", timeout=5) as answer:
        return str(answer.read().decode())


def _figure(running: Running, name: str) -> float:
    return next((float(line.split()[-1]) for line in metrics(running).splitlines() if line.startswith(name)), 0.0)
