"""No document makes the command line crash: whatever a file holds, there is an answer and an exit status, or a named error."""

from __future__ import annotations

import tempfile
from copy import deepcopy
from pathlib import Path
from typing import Any

import orjson
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.cli.program import pyvern

POD: dict[str, Any] = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "a", "namespace": "b", "labels": {"c": "d"}},
    "spec": {"containers": [{"name": "e", "image": "f:1"}]},
}
POLICY: dict[str, Any] = {
    "apiVersion": "kyverno.io/v1",
    "kind": "ClusterPolicy",
    "metadata": {"name": "p"},
    "spec": {
        "rules": [
            {
                "name": "r",
                "match": {"any": [{"resources": {"kinds": ["Pod"]}}]},
                "context": [{"name": "x", "configMap": {"name": "{{ request.name }}", "namespace": "b"}}],
                "validate": {"message": "{{ x.data.y || 'z' }}", "pattern": {"metadata": {"labels": {"c": "d"}}}},
            }
        ]
    },
}
VALUES: dict[str, Any] = {
    "apiVersion": "cli.kyverno.io/v1alpha1",
    "kind": "Values",
    "globalValues": {"request.operation": "UPDATE", 'a."b.c".d': 1},
    "policies": [{"name": "p", "rules": [{"name": "r", "values": {"x.data.y": "1"}, "foreachValues": {"k": ["v"]}}]}],
    "namespaceSelector": [{"name": "b", "labels": {"k": "v"}}],
    "subresources": [
        {
            "subresource": {"name": "pods/exec", "kind": "Pod", "version": "v1"},
            "parentResource": {"name": "pods", "kind": "Pod", "version": "v1"},
        }
    ],
}
TEST: dict[str, Any] = {
    "apiVersion": "cli.kyverno.io/v1alpha1",
    "kind": "Test",
    "metadata": {"name": "t"},
    "policies": ["policy.yaml"],
    "resources": ["pod.yaml"],
    "variables": "values.yaml",
    "apiCallResponses": [{"urlPath": "/api/v1/pods", "response": {"statusCode": 200, "body": {}}}],
    "globalContextEntries": [{"name": "g", "data": {"a": 1}, "projections": [{"name": "n", "path": "a"}]}],
    "results": [{"policy": "p", "rule": "r", "resources": ["a"], "kind": "Pod", "result": "pass"}],
}

scalars = st.sampled_from([None, True, 0, 1.5, "", "x", "*", "{{ x }}", "a.b", "\x00", "é", [], {}, [None], {"x": None}]).map(
    deepcopy
)


@st.composite
def damaged(draw: st.DrawFn, document: Any) -> Any:
    """The document with one to three of its places set to something else, or gone."""
    value = orjson.loads(orjson.dumps(document))
    for _ in range(draw(st.integers(1, 3))):
        node: Any = value
        holder: Any = None
        key: Any = None
        while isinstance(node, (dict, list)) and node and (holder is None or draw(st.integers(0, 4))):
            holder = node
            key = draw(st.sampled_from(list(node) if isinstance(node, dict) else list(range(len(node)))))
            node = node[key]
        if holder is None:
            return draw(scalars)
        if draw(st.booleans()):
            holder[key] = draw(scalars)
        else:
            del holder[key]
    return value


def write(folder: str, **documents: Any) -> Path:
    for name, document in documents.items():
        Path(folder, f"{name}.yaml").write_bytes(orjson.dumps(document))
    return Path(folder)


@settings(max_examples=150, deadline=None)
@given(damaged(POLICY), damaged(POD))
def test_apply_survives_any_policy_and_resource(policy: Any, pod: Any) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = write(name, policy=policy, pod=pod)
        for flags in ([], ["-p"], ["-t", "--detailed-results"]):
            ran = pyvern("apply", folder / "policy.yaml", "-r", folder / "pod.yaml", *flags)
            assert ran.status in (0, 1)


@settings(max_examples=100, deadline=None)
@given(damaged(VALUES))
def test_apply_survives_any_values(values: Any) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = write(name, policy=POLICY, pod=POD, values=values)
        ran = pyvern("apply", folder / "policy.yaml", "-r", folder / "pod.yaml", "-f", folder / "values.yaml")
        assert ran.status in (0, 1)
        assert ran.out or ran.err.startswith("Error: ")


@settings(max_examples=150, deadline=None)
@given(damaged(TEST))
def test_test_survives_any_test(test: Any) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = write(name, policy=POLICY, pod=POD, values=VALUES)
        Path(folder, "kyverno-test.yaml").write_bytes(orjson.dumps(test))
        ran = pyvern("test", folder)
        assert ran.status in (0, 1)


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=60))
def test_no_bytes_make_a_file_unreadable_without_a_word(content: bytes) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = write(name, policy=POLICY)
        Path(folder, "pod.yaml").write_bytes(content)
        ran = pyvern("apply", folder / "policy.yaml", "-r", folder / "pod.yaml")
        assert ran.status in (0, 1)
