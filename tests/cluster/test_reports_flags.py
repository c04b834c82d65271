"""What flags of the reports operator change: which results, of which objects, in which API, and how many."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from deploy.local.api import Api
from deploy.local.console import Blocked
from deploy.local.control_plane import ControlPlane
from deploy.local.operators import Operators
from tests.cluster.calls import until
from tests.cluster.reported import CPOL, EPHR, MAPS, NAMESPACE, Document, config_map, figure, policy, reports, wait_for
from tests.conftest import RunOperator

pytestmark = pytest.mark.cluster
SETTINGS = "/api/v1/namespaces/kyverno/configmaps/kyverno"
CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
OPENREPORTS = f"/apis/openreports.io/v1alpha1/namespaces/{NAMESPACE}/reports"
MERGE = "application/merge-patch+json"


@pytest.fixture
def api(control_plane: ControlPlane) -> Iterator[Api]:
    """The API server with a policy and two ConfigMaps, `good` and `bad`; at the end without them and their reports."""
    api = control_plane.api
    if api.find(f"/api/v1/namespaces/{NAMESPACE}") is None:
        api.ask("/api/v1/namespaces", method="POST", body={"metadata": {"name": NAMESPACE}})
    api.ask(CPOL, method="POST", body=policy("teams"))
    api.ask(MAPS, method="POST", body=config_map("bad"))
    api.ask(MAPS, method="POST", body=config_map("good", team="a"))
    yield api
    for path in (CPOL, MAPS, EPHR):
        for item in api.ask(path)["items"]:
            if item["metadata"]["name"] != "kube-root-ca.crt":
                api.delete(f"{path}/{item['metadata']['name']}")
    until(lambda: reports(api) == {}, timeout=60)


def test_only_allowed_results_are_stored(api: Api, run_operator: RunOperator) -> None:
    running = run_operator("reports", flags={"allowedResults": "fail,error,warn"})
    wait_for(api, {"bad": {"teams": "fail"}}, timeout=20)
    objects = until(lambda: figure(running, 'pyvern_scan_objects{resource="configmaps",resource_group=""}'))
    looks = (figure(running, f'pyvern_reports_total{{what="{what}"}}') for what in ("created", "saved"))
    assert sum(looks) < 2 * objects, "at the start nothing is looked at twice, but reports of the past may be"
    assert reports(api) == {"bad": {"teams": "fail"}}
    api.ask(f"{MAPS}/bad", method="PUT", body=config_map("bad", team="a"))
    wait_for(api, {})


def test_types_of_rules_that_are_not_reported_have_no_rows_any_more(
    api: Api, run_operator: RunOperator, operators: Operators
) -> None:
    run_operator("reports", name="first")
    wait_for(api, {"bad": {"teams": "fail"}, "good": {"teams": "pass"}}, timeout=20)
    operators.stop("first")
    run_operator("reports", name="second", flags={"enableReporting": "mutate,generate"})
    wait_for(api, {}, timeout=20)


def test_resource_filters_limit_scans_when_they_are_not_skipped(api: Api, run_operator: RunOperator) -> None:
    before = api.ask(SETTINGS)["data"].get("resourceFilters")

    def filters(text: str | None) -> None:
        api.ask(SETTINGS, method="PATCH", body={"data": {"resourceFilters": text}}, content_type=MERGE)

    filters(f"[ConfigMap,{NAMESPACE},b*]")
    try:
        run_operator("reports", flags={"skipResourceFilters": "false"})
        wait_for(api, {"good": {"teams": "pass"}}, timeout=20)
        filters(f"[ConfigMap,{NAMESPACE},g*]")
        wait_for(api, {"bad": {"teams": "fail"}})
    finally:
        filters(before)


def test_without_policy_reports_scans_end_as_ephemeral_reports_of_a_bounded_number(
    api: Api, run_operator: RunOperator, control_plane: ControlPlane
) -> None:
    for number in range(5):
        api.ask(MAPS, method="POST", body=config_map(f"x{number}"))
    running = run_operator("reports", flags={"policyReports": "false", "maxBackgroundReports": "4", "aggregationWorkers": "1"})

    def stored() -> list[Document]:
        """Those of scans; another operator of this cluster may write some of reviews."""
        return [
            one for one in api.ask(EPHR)["items"] if one["metadata"]["labels"]["audit.kyverno.io/source"] == "background-scan"
        ]

    until(lambda: len(stored()) == 4, timeout=20)
    until(lambda: figure(running, 'pyvern_reports_total{what="dropped"}') >= 3)
    assert len(stored()) == 4
    assert reports(api) == {}
    one = stored()[0]
    assert one["metadata"]["name"] == one["metadata"]["ownerReferences"][0]["uid"] + "-scan"
    assert [row["policy"] for row in one["spec"]["results"]] == ["teams"]
    assert "4 reports of 4 are stored: new ones wait" in control_plane.processes.log("reports").read_text()


def crd(kind: str, plural: str, scope: str) -> Document:
    """A kind of openreports.io as its own project installs it, any fields allowed."""
    schema = {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}
    names = {"kind": kind, "plural": plural, "singular": kind.lower(), "listKind": f"{kind}List"}
    version = {"name": "v1alpha1", "served": True, "storage": True, "schema": schema}
    metadata = {
        "name": f"{plural}.openreports.io",
        "annotations": {"api-approved.kubernetes.io": "unapproved, a test"},
    }
    spec = {"group": "openreports.io", "scope": scope, "names": names, "versions": [version]}
    return {"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": metadata, "spec": spec}


def test_openreports_are_written_where_they_are_installed(api: Api, run_operator: RunOperator) -> None:
    with pytest.raises(Blocked) as blocked:
        run_operator("reports", flags={"openreportsEnabled": "true"})
    assert "the API server does not serve /apis/openreports.io/v1alpha1/clusterreports" in blocked.value.detail
    documents = [crd("Report", "reports", "Namespaced"), crd("ClusterReport", "clusterreports", "Cluster")]
    for document in documents:
        api.ask(CRDS, method="POST", body=document)
    try:
        until(lambda: api.find(OPENREPORTS) is not None)
        time.sleep(1)  # discovery follows
        run_operator("reports", name="open", flags={"openreportsEnabled": "true"})
        until(lambda: len(_of_maps(api)) == 2, timeout=20)
        found = {one["scope"]["name"]: one["results"][0] for one in _of_maps(api)}
        assert {name: row["result"] for name, row in found.items()} == {"bad": "fail", "good": "pass"}
        assert "message" not in found["bad"]
        assert found["bad"]["description"].startswith("validation error: team is needed.")
        assert reports(api) == {}
    finally:
        for document in documents:
            api.ask(f"{CRDS}/{document['metadata']['name']}", method="DELETE")


def _of_maps(api: Api) -> list[Document]:
    return [one for one in api.ask(OPENREPORTS)["items"] if one["scope"]["name"] in ("bad", "good")]
