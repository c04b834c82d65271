"""The reports operator when things fail: kinds that cannot be read, a server that goes away, reports that grow too long."""

from __future__ import annotations

import os
import signal
import time
from typing import Any

import pytest

from deploy.local.api import Api, Refused
from deploy.local.control_plane import ControlPlane
from deploy.local.operators import Running
from tests.cluster.calls import until
from tests.cluster.reported import (
    CPOL,
    MAPS,
    NAMESPACE,
    POLR,
    SECRETS,
    Document,
    config_map,
    figure,
    metrics,
    policy,
    reports,
    wait_for,
)

pytestmark = pytest.mark.cluster
CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
WIDGETS = f"/apis/broken.example/v1/namespaces/{NAMESPACE}/widgets"
ROLES = "/apis/rbac.authorization.k8s.io/v1/clusterroles"
DEPLOYMENT = "/apis/apps/v1/namespaces/kyverno/deployments/kyverno-reports-controller"


@pytest.fixture(scope="module")
def running(reports_operator: Running) -> Running:
    return reports_operator


@pytest.fixture
def api(reported: Api) -> Api:
    return reported


def condition(api: Api) -> Document:
    conditions = (api.ask(DEPLOYMENT).get("status") or {}).get("conditions") or []
    return next((one for one in conditions if one["type"] == "KindsScanned"), {})


def log(control_plane: ControlPlane) -> str:
    return control_plane.processes.log("reports").read_text()


def test_a_kind_that_may_not_be_read_stops_no_other_and_is_shown(api: Api, running: Running, control_plane: ControlPlane) -> None:
    api.ask(MAPS, method="POST", body=config_map("x"))
    api.ask(SECRETS, method="POST", body={"metadata": {"name": "s"}})
    api.ask(CPOL, method="POST", body=policy("secrets", kind="Secret"))
    api.ask(CPOL, method="POST", body=policy("teams"))
    wait_for(api, {"x": {"teams": "fail"}})
    until(lambda: 'pyvern_scan_kinds{state="failing"} 1.0' in metrics(running))
    assert figure(running, 'pyvern_scan_failing{reason="Forbidden",resource="secrets",resource_group=""}') == 1
    assert "secrets cannot be scanned: Forbidden; other kinds are" in log(control_plane)
    shown = until(lambda: condition(api).get("status") == "False" and condition(api), timeout=30)
    assert (shown["reason"], shown["message"]) == ("KindsFailing", "not scanned: secrets: Forbidden")
    api.ask(f"{CPOL}/secrets", method="DELETE")
    until(lambda: condition(api)["status"] == "True", timeout=30)


def crd(version: str) -> Document:
    """Widgets, stored as v1; with v2 preferred, a conversion webhook that nobody answers stands between them."""
    schema = {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}
    versions = [{"name": "v1", "served": True, "storage": True, "schema": schema}]
    spec: dict[str, Any] = {
        "group": "broken.example",
        "scope": "Namespaced",
        "names": {"kind": "Widget", "plural": "widgets", "singular": "widget", "listKind": "WidgetList"},
        "versions": versions,
    }
    if version == "v2":
        versions.append({"name": "v2", "served": True, "storage": False, "schema": schema})
        webhook = {"conversionReviewVersions": ["v1"], "clientConfig": {"url": "https://127.0.0.1:1/convert"}}
        spec["conversion"] = {"strategy": "Webhook", "webhook": webhook}
    metadata = {"name": "widgets.broken.example"}
    return {"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": metadata, "spec": spec}


@pytest.fixture
def widgets(api: Api, control_plane: ControlPlane) -> Any:
    """The kind, an object of it, and the right to read it."""
    api.ask(CRDS, method="POST", body=crd("v1"))
    labels = {"rbac.kyverno.io/aggregate-to-reports-controller": "true"}
    rules = [{"apiGroups": ["broken.example"], "resources": ["widgets"], "verbs": ["get", "list", "watch"]}]
    api.ask(ROLES, method="POST", body={"metadata": {"name": "read-widgets", "labels": labels}, "rules": rules})
    until(lambda: api.find(WIDGETS) is not None)
    widget = {"apiVersion": "broken.example/v1", "kind": "Widget", "metadata": {"name": "w"}}
    until(lambda: _created(api, WIDGETS, widget))
    yield
    api.ask(f"{ROLES}/read-widgets", method="DELETE")
    if api.find(f"{CRDS}/widgets.broken.example") is not None:
        api.ask(f"{CRDS}/widgets.broken.example", method="DELETE")


def _created(api: Api, path: str, document: Document) -> bool:
    try:
        api.ask(path, method="POST", body=document)
    except Refused:
        return False
    return True


@pytest.mark.usefixtures("widgets")
def test_a_kind_whose_conversion_is_broken_and_one_that_goes_stop_no_other(api: Api, running: Running) -> None:
    api.ask(CPOL, method="POST", body=policy("widgets", kind="Widget"))
    wait_for(api, {"w": {"widgets": "fail"}}, timeout=60)
    path = f"{CRDS}/widgets.broken.example"
    stored = api.ask(path)
    api.ask(path, method="PUT", body={**stored, "spec": crd("v2")["spec"]})
    until(lambda: figure(running, 'pyvern_scan_kinds{state="failing"}') == 1, timeout=60)
    api.ask(CPOL, method="POST", body=policy("teams"))
    api.ask(MAPS, method="POST", body=config_map("x"))
    wait_for(api, {"w": {"widgets": "fail"}, "x": {"teams": "fail"}})
    stored = api.ask(path)
    api.ask(path, method="PUT", body={**stored, "spec": crd("v1")["spec"]})
    until(lambda: figure(running, 'pyvern_scan_kinds{state="failing"}') == 0, timeout=60)
    api.ask(path, method="DELETE")
    wait_for(api, {"x": {"teams": "fail"}}, timeout=60)
    api.ask(f"{MAPS}/x", method="PUT", body=config_map("x", team="a"))
    wait_for(api, {"x": {"teams": "pass"}})
    assert figure(running, 'pyvern_scan_kinds{state="failing"}') == 0


def test_what_happened_while_the_api_server_was_restarted_is_not_missed(
    api: Api, running: Running, control_plane: ControlPlane
) -> None:
    """The watches cannot be resumed: a fresh API server does not know the time before it, and says 410."""
    api.ask(CPOL, method="POST", body=policy("teams"))
    for name in ("stays", "goes", "changes"):
        api.ask(MAPS, method="POST", body=config_map(name))
    wait_for(api, {name: {"teams": "fail"} for name in ("stays", "goes", "changes")})
    processes = control_plane.processes
    pids = [processes.pid(name) for name in ("reports", "kube-apiserver")]
    operator, server = (pid for pid in pids if pid is not None)
    before = api.ask(MAPS)["metadata"]["resourceVersion"]
    os.kill(operator, signal.SIGSTOP)
    try:
        api.ask(f"{MAPS}/goes", method="DELETE")
        (report,) = _about(api, "stays")
        api.ask(f"{POLR}/{report['metadata']['name']}", method="DELETE")
        api.ask(f"{MAPS}/changes", method="PUT", body=config_map("changes", team="a"))
        api.ask(MAPS, method="POST", body=config_map("comes"))
        with open(f"/proc/{server}/cmdline", "rb") as file:
            command = file.read().decode().split("\0")[:-1]
        processes.stop(["kube-apiserver"], patience=10)
        processes.start("kube-apiserver", command)
        processes.wait("kube-apiserver", lambda: api.find("/readyz") == "ok", timeout=60)
        until(lambda: api.find(MAPS) and api.find(POLR), timeout=60)
        answer = api.ask(f"{MAPS}?watch=1&timeoutSeconds=1&resourceVersion={before}")
        assert answer["object"]["code"] == 410
    finally:
        os.kill(operator, signal.SIGCONT)
    left = {"stays": {"teams": "fail"}, "changes": {"teams": "pass"}, "comes": {"teams": "fail"}}
    wait_for(api, left, timeout=90)
    api.ask(CPOL, method="POST", body=policy("apps", "app"))
    wait_for(api, {name: {**rows, "apps": "fail"} for name, rows in left.items()}, timeout=30)


def test_a_report_beyond_the_limit_of_etcd_is_trimmed_and_says_so(api: Api) -> None:
    api.ask(MAPS, method="POST", body=config_map("x"))
    for name in ("first", "second"):
        document = policy(name)
        (rule,) = document["spec"]["rules"]
        long = {**rule["validate"], "message": "m" * 60_000}
        document["spec"]["rules"] = [{**rule, "name": f"rule-{number}", "validate": long} for number in range(15)]
        api.ask(CPOL, method="POST", body=document)
    wait_for(api, {"x": {"first": "fail", "second": "fail"}}, timeout=20)
    (report,) = until(lambda: [one for one in _about(api, "x") if one["summary"]["fail"] == 30])
    assert len(report["results"]) == 30
    assert report["metadata"]["annotations"]["reports.pyvern.io/trimmed"].startswith("30 results shortened, 0 left out")
    assert "bytes cut" in report["results"][0]["message"]
    version = report["metadata"]["resourceVersion"]
    for name in ("first", "second"):  # nothing but a look at it again
        patch = {"spec": {"emitWarning": True}}
        api.ask(f"{CPOL}/{name}", method="PATCH", body=patch, content_type="application/merge-patch+json")
    time.sleep(3)
    assert _about(api, "x")[0]["metadata"]["resourceVersion"] == version


def _about(api: Api, name: str) -> list[Document]:
    return [report for report in api.ask(POLR)["items"] if report["scope"]["name"] == name]


def test_a_policy_deleted_while_its_results_are_written_leaves_none(api: Api, running: Running) -> None:
    for number in range(150):
        api.ask(MAPS, method="POST", body=config_map(f"x{number}"))
    api.ask(CPOL, method="POST", body=policy("teams"))
    until(lambda: reports(api))
    api.ask(f"{CPOL}/teams", method="DELETE")
    wait_for(api, {}, timeout=30)
    until(lambda: figure(running, "pyvern_reports_waiting") == 0)
    assert reports(api) == {}
