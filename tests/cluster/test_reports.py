"""The reports operator on a real API server: from policies and objects to PolicyReports."""

from __future__ import annotations

import time

import pytest

from deploy.local.api import Api
from deploy.local.control_plane import ControlPlane
from deploy.local.operators import Running
from tests.cli.program import pyvern
from tests.cluster.calls import ready, until
from tests.cluster.reported import (
    CPOL,
    EPHR,
    EXCEPTIONS,
    MAPS,
    NAMESPACE,
    POLR,
    Document,
    config_map,
    policy,
    reports,
    wait_for,
)

pytestmark = pytest.mark.cluster


@pytest.fixture(scope="module")
def running(reports_operator: Running) -> Running:
    return reports_operator


@pytest.fixture
def api(reported: Api) -> Api:
    return reported


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


def test_a_report_that_somebody_deletes_comes_back(api: Api) -> None:
    created = api.ask(MAPS, method="POST", body=config_map("x"))
    api.ask(CPOL, method="POST", body=policy("teams"))
    wait_for(api, {"x": {"teams": "fail"}})
    path = f"{POLR}/{created['metadata']['uid']}"
    first = api.ask(path)["metadata"]["uid"]
    api.ask(path, method="DELETE")
    until(lambda: (api.find(path) or {}).get("metadata", {}).get("uid") not in (None, first))


def test_reports_that_are_deleted_all_at_once_come_back(api: Api) -> None:
    names = [f"x{number}" for number in range(250)]
    for name in names:
        api.ask(MAPS, method="POST", body=config_map(name))
    api.ask(CPOL, method="POST", body=policy("teams"))
    wanted = {name: {"teams": "fail"} for name in names}
    wait_for(api, wanted, timeout=30)
    first = {report["metadata"]["uid"] for report in api.ask(POLR)["items"]}
    api.ask(POLR, method="DELETE")
    wait_for(api, wanted, timeout=30)
    assert not first & {report["metadata"]["uid"] for report in api.ask(POLR)["items"]}


def test_an_object_of_a_megabyte_has_a_report(api: Api) -> None:
    api.ask(MAPS, method="POST", body={**config_map("big"), "data": {"text": "x" * 1_000_000}})
    api.ask(CPOL, method="POST", body=policy("teams"))
    wait_for(api, {"big": {"teams": "fail"}})


def test_admission_results_of_policies_that_are_not_scanned_are_reported(api: Api, admission: Running) -> None:
    api.ask(CPOL, method="POST", body=policy("admitted", background=False))
    until(lambda: ready(api.ask(f"{CPOL}/admitted")))
    time.sleep(0.5)
    api.ask(MAPS, method="POST", body=config_map("x"))
    wait_for(api, {"x": {"admitted": "fail"}}, timeout=10)
    (report,) = (r for r in api.ask(POLR)["items"] if r["scope"]["name"] == "x")
    assert report["results"][0]["properties"]["process"] == "admission review"
    until(lambda: api.ask(EPHR)["items"] == [])
    api.ask(f"{CPOL}/admitted", method="DELETE")
    wait_for(api, {})


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


def test_pyvern_report_shows_what_the_reports_of_a_cluster_say(api: Api, control_plane: ControlPlane) -> None:
    api.ask(MAPS, method="POST", body=config_map("x"))
    api.ask(CPOL, method="POST", body=policy("teams"))
    wait_for(api, {"x": {"teams": "fail"}})
    ran = pyvern("report", "--kubeconfig", control_plane.kubeconfig, "-n", NAMESPACE)
    lines = [line.split() for line in ran.out.splitlines()]
    assert ["teams", "2", "0", "0", "0", "0"] in lines  # the other one is kube-root-ca.crt
    assert ["fail", "none", "ConfigMap", f"{NAMESPACE}/x", "teams/team"] in [line[:5] for line in lines]
