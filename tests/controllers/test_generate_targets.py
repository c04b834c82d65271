"""Targets of generate rules against what the API server serves (spec 2.8, 3.4)."""

from __future__ import annotations

from typing import Any

import pytest

from controllers.admission.generate_targets import check_generate_targets
from controllers.cluster.discovery import Discovery, Resource
from engine import InvalidPolicy, compile_policy

Object = dict[str, Any]


def served(group: str, kind: str, *, namespaced: bool) -> Resource:
    return Resource(group, "v1", kind, f"{kind.lower()}s", "", namespaced, True)


RBAC = "rbac.authorization.k8s.io"
DISCOVERY = Discovery.of(
    [
        served("", "Secret", namespaced=True),
        served("", "ConfigMap", namespaced=True),
        served(RBAC, "ClusterRole", namespaced=False),
    ]
)


def policy(generate: Object, namespace: str = "") -> Object:
    match = {"any": [{"resources": {"kinds": ["Secret"]}}]}
    return {
        "apiVersion": "kyverno.io/v1",
        "kind": "Policy" if namespace else "ClusterPolicy",
        "metadata": {"name": "p", "namespace": namespace} if namespace else {"name": "p"},
        "spec": {"rules": [{"name": "r", "match": match, "generate": generate}]},
    }


def fault(generate: Object, namespace: str = "") -> str:
    compiled = compile_policy(policy(generate, namespace))
    try:
        check_generate_targets(compiled, DISCOVERY)
    except InvalidPolicy as error:
        return error.path
    return ""


SECRET = {"apiVersion": "v1", "kind": "Secret", "name": "x", "data": {"a": 1}}
ROLE = {"apiVersion": f"{RBAC}/v1", "kind": "ClusterRole", "name": "x", "data": {"a": 1}}
CLUSTER_ROLE = f"{RBAC}/v1/ClusterRole"


@pytest.mark.parametrize(
    ("generate", "path"),
    [
        ({**SECRET, "namespace": "a"}, ""),
        (SECRET, "spec.rules[0].generate.namespace"),
        (ROLE, ""),
        ({**ROLE, "namespace": "a"}, "spec.rules[0].generate.namespace"),
        ({**SECRET, "kind": "Unserved"}, ""),
        ({**SECRET, "kind": "{{ request.object.kind }}"}, ""),
        ({"foreach": [{"list": "request.object.a", **SECRET}]}, "spec.rules[0].generate.foreach[0].namespace"),
        ({"cloneList": {"kinds": ["v1/Secret", "v1/ConfigMap"], "namespace": "b"}, "namespace": "a"}, ""),
        ({"cloneList": {"kinds": ["v1/Secret"]}, "namespace": "a"}, "spec.rules[0].generate.cloneList.namespace"),
        ({"cloneList": {"kinds": [CLUSTER_ROLE]}}, ""),
        ({"cloneList": {"kinds": [CLUSTER_ROLE], "namespace": "b"}}, "spec.rules[0].generate.cloneList.namespace"),
        ({"cloneList": {"kinds": ["v1/Secret", CLUSTER_ROLE]}}, "spec.rules[0].generate.cloneList.kinds"),
    ],
)
def test_the_scope_of_targets(generate: Object, path: str) -> None:
    assert fault(generate) == path


def test_a_namespaced_policy_generates_no_cluster_scoped_objects() -> None:
    assert fault({**ROLE, "namespace": "a"}, "a") == "spec.rules[0].generate.kind"
    listed = {"cloneList": {"kinds": [CLUSTER_ROLE], "namespace": "a"}, "namespace": "a"}
    assert fault(listed, "a") == "spec.rules[0].generate.cloneList.kinds[0]"
