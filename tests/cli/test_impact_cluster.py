"""`pyvern impact` against a real API server: pages, policies in force, and rights that are missing."""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from cli.impact.world import PAGE
from deploy.local.control_plane import ControlPlane
from tests.cli.program import pyvern

Document = dict[str, Any]
RULES = "/apis/rbac.authorization.k8s.io/v1"
POLICIES = "/apis/kyverno.io/v1/clusterpolicies"


@pytest.fixture
def namespace(control_plane: ControlPlane, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[str]:
    """A namespace of this test's own."""
    monkeypatch.setenv("PATH", os.pathsep.join((str(control_plane.tools["kubectl"].parent), os.environ["PATH"])))
    monkeypatch.chdir(tmp_path)
    name = f"impact-{uuid.uuid4().hex[:8]}"
    control_plane.api.ask("/api/v1/namespaces", method="POST", body={"metadata": {"name": name}})
    yield name
    control_plane.api.ask(f"/api/v1/namespaces/{name}", method="DELETE")


def config_map(plane: ControlPlane, namespace: str, name: str, **data: str) -> None:
    plane.api.ask(f"/api/v1/namespaces/{namespace}/configmaps", method="POST", body={"metadata": {"name": name}, "data": data})


def team(namespace: str, action: str, *kinds: str) -> Document:
    """A policy about objects of the namespace whose names begin with `subject`."""
    resources = {"kinds": list(kinds), "namespaces": [namespace], "names": ["subject*"]}
    validate = {"failureAction": action, "message": "say which team owns it", "pattern": {"metadata": {"labels": {"team": "?*"}}}}
    rule = {"name": "team", "match": {"any": [{"resources": resources}]}, "validate": validate}
    return {
        "apiVersion": "kyverno.io/v1",
        "kind": "ClusterPolicy",
        "metadata": {"name": f"team-{namespace}"},
        "spec": {"rules": [rule]},
    }


def answer(plane: ControlPlane, policy: Document, *flags: object, kubeconfig: object = None) -> tuple[int, Document]:
    Path("policy.yaml").write_text(yaml.safe_dump(policy))
    ran = pyvern("impact", "policy.yaml", "--kubeconfig", kubeconfig or plane.kubeconfig, "-o", "json", *flags)
    assert ran.err == ""
    return ran.status, json.loads(ran.out)


def test_every_page_of_the_cluster_is_looked_at(control_plane: ControlPlane, namespace: str) -> None:
    count = PAGE + 5
    for number in range(count):
        config_map(control_plane, namespace, f"subject-{number}")
    status, document = answer(control_plane, team(namespace, "Enforce", "ConfigMap"), "--namespace", namespace, "--limit", "3")
    assert (status, document["totals"]["deny"]) == (1, count)
    assert len(document["policies"][0]["findings"]) == 3
    assert document["objects"] == count + 1  # kube-root-ca.crt


def test_the_policy_in_force_is_what_is_compared_with(control_plane: ControlPlane, namespace: str) -> None:
    config_map(control_plane, namespace, "subject")
    policy = team(namespace, "Audit", "ConfigMap")
    control_plane.api.ask(POLICIES, method="POST", body=policy)
    try:
        _, same = answer(control_plane, policy)
        _, stricter = answer(control_plane, team(namespace, "Enforce", "ConfigMap"))
    finally:
        control_plane.api.ask(f"{POLICIES}/team-{namespace}", method="DELETE")
    assert (same["policies"][0]["state"], same["policies"][0]["unchanged"]) == ("replaces the one in force", 1)
    assert not any(same["totals"].values())
    assert [(one["action"], one["was"]) for one in stricter["policies"][0]["findings"]] == [("deny", "fails under Audit now")]


def test_a_clone_that_is_not_there_yet_is_shown_without_its_values(control_plane: ControlPlane, namespace: str) -> None:
    secret = {"metadata": {"name": "registry"}, "stringData": {"password": "swordfish"}}
    control_plane.api.ask(f"/api/v1/namespaces/{namespace}/secrets", method="POST", body=secret)
    generate = {
        "apiVersion": "v1",
        "kind": "Secret",
        "name": "copied",
        "namespace": "{{request.object.metadata.name}}",
        "clone": {"name": "registry", "namespace": namespace},
    }
    match = {"any": [{"resources": {"kinds": ["Namespace"], "names": [namespace]}}]}
    policy = team(namespace, "Audit")
    policy["spec"] = {"generateExisting": True, "rules": [{"name": "copy", "match": match, "generate": generate}]}
    status, document = answer(control_plane, policy)
    (finding,) = document["policies"][0]["findings"]
    assert (status, finding["action"], finding["resource"]["namespace"]) == (1, "create", namespace)
    assert "password: '***'" in finding["diff"]


def test_what_may_not_be_read_is_told_and_the_rest_is_answered(
    control_plane: ControlPlane, namespace: str, tmp_path: Path
) -> None:
    config_map(control_plane, namespace, "subject")
    account = {"metadata": {"name": "reader"}}
    control_plane.api.ask(f"/api/v1/namespaces/{namespace}/serviceaccounts", method="POST", body=account)
    role = {
        "metadata": {"name": namespace},
        "rules": [{"apiGroups": [""], "resources": ["configmaps", "namespaces"], "verbs": ["*"]}],
    }
    role["rules"] += [{"apiGroups": ["kyverno.io"], "resources": ["*"], "verbs": ["get", "list"]}]
    binding = {
        "metadata": {"name": namespace},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": namespace},
        "subjects": [{"kind": "ServiceAccount", "name": "reader", "namespace": namespace}],
    }
    control_plane.api.ask(f"{RULES}/clusterroles", method="POST", body=role)
    control_plane.api.ask(f"{RULES}/clusterrolebindings", method="POST", body=binding)
    kubeconfig = tmp_path / "reader"
    control_plane.kubectl.identity("reader", namespace=namespace, hours=1, file=kubeconfig)
    policy = team(namespace, "Enforce", "ConfigMap", "Secret")
    try:
        status, document = answer(control_plane, policy, kubeconfig=kubeconfig)
        allowed, _ = answer(control_plane, policy, "--allow-unread", kubeconfig=kubeconfig)
    finally:
        control_plane.api.ask(f"{RULES}/clusterrolebindings/{namespace}", method="DELETE")
        control_plane.api.ask(f"{RULES}/clusterroles/{namespace}", method="DELETE")
    assert (status, allowed) == (2, 1)
    assert [finding["resource"]["name"] for finding in document["policies"][0]["findings"]] == ["subject"]
    (unread,) = document["unread"]
    assert unread["what"] == "secrets.v1"
    assert "forbidden" in unread["reason"].lower()


def test_a_cluster_that_does_not_answer_is_an_error(control_plane: ControlPlane, namespace: str, tmp_path: Path) -> None:
    Path("policy.yaml").write_text(yaml.safe_dump(team(namespace, "Enforce", "ConfigMap")))
    ran = pyvern("impact", "policy.yaml", "--kubeconfig", tmp_path / "nowhere")
    assert ran.status == 2
    assert "nowhere" in ran.err
