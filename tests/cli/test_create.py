"""`pyvern create`: what it writes is what the other commands read."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from engine import compile_exception
from tests.cli.program import pyvern


def created(*arguments: object) -> dict[str, object]:
    ran = pyvern("create", *arguments)
    assert ran.status == 0, ran.err
    document: dict[str, object] = yaml.safe_load(ran.out)
    return document


def test_a_test_file() -> None:
    document = created("test", "-p", "a.yaml,b.yaml", "-r", "r.yaml", "-f", "v.yaml", "--pass", "p,r,n,ns,Pod", "--fail", "p,r,m")
    assert document == {
        "apiVersion": "cli.kyverno.io/v1alpha1",
        "kind": "Test",
        "metadata": {"name": "test-name"},
        "policies": ["a.yaml", "b.yaml"],
        "resources": ["r.yaml"],
        "variables": "v.yaml",
        "results": [
            {"policy": "p", "rule": "r", "resources": ["ns/n"], "kind": "Pod", "result": "pass"},
            {"policy": "p", "rule": "r", "resources": ["m"], "result": "fail"},
        ],
    }


def test_a_values_file() -> None:
    document = created(
        "values", "-g", "request.mode=dev", "-n", "prod,env=prod", "--rule", "p,r,a=1", "--resource", "p,x,b=2,c=3"
    )
    assert document == {
        "apiVersion": "cli.kyverno.io/v1alpha1",
        "kind": "Values",
        "globalValues": {"request.mode": "dev"},
        "policies": [
            {
                "name": "p",
                "resources": [{"name": "x", "values": {"b": "2", "c": "3"}}],
                "rules": [{"name": "r", "values": {"a": "1"}}],
            }
        ],
        "namespaceSelector": [{"name": "prod", "labels": {"env": "prod"}}],
    }


@pytest.mark.parametrize("name", ["user-info", "userinfo"])
def test_a_user_info_file(name: str) -> None:
    assert created(name, "-u", "ann", "-g", "dev", "-c", "admin", "-r", "ns:edit") == {
        "apiVersion": "cli.kyverno.io/v1alpha1",
        "kind": "UserInfo",
        "roles": ["ns:edit"],
        "clusterRoles": ["admin"],
        "userInfo": {"username": "ann", "groups": ["dev"]},
    }


def test_a_metrics_config() -> None:
    document = created("metrics-config", "-i", "a,b", "-e", "c")
    assert document["metadata"] == {"name": "kyverno-metrics", "namespace": "kyverno"}
    assert document["data"] == {"namespaces": '{"include":["a","b"],"exclude":["c"]}'}


def test_an_exception_compiles() -> None:
    document = created(
        "exception",
        "mine",
        "--namespace",
        "ns",
        "--policy-rules",
        "p,r-1,r-2",
        "--any",
        "kind=Pod,kind=Job,name=test-*",
        "-b",
        "false",
    )
    exception = compile_exception(document)
    assert not exception.background
    assert [reference.policy for reference in exception.references] == ["p"]
    assert document["spec"]["match"] == {"any": [{"resources": {"kinds": ["Pod", "Job"], "names": ["test-*"]}}]}  # type: ignore[index]


def test_a_cluster_role_is_aggregated() -> None:
    document = created(
        "cluster-role",
        "mine",
        "-g",
        "apps",
        "--verbs",
        "get,list",
        "--resources",
        "deployments",
        "--controllers",
        "cleanup-controller",
    )
    assert document["metadata"] == {"name": "mine", "labels": {"rbac.kyverno.io/aggregate-to-cleanup-controller": "true"}}
    assert document["rules"] == [{"apiGroups": ["apps"], "resources": ["deployments"], "verbs": ["get", "list"]}]


def test_output_to_a_file(tmp_path: Path) -> None:
    file = tmp_path / "info.yaml"
    assert pyvern("create", "user-info", "-u", "ann", "-o", file).out == ""
    assert yaml.safe_load(file.read_text())["userInfo"] == {"username": "ann"}


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("test", "--pass", "p,r"), "--pass: `p,r`: policy, rule, resource and perhaps namespace and kind are expected"),
        (("values", "-g", "x"), "--global: `x`: KEY=VALUE is expected"),
        (("values", "--rule", "p,r"), "--rule: `p,r`: policy, name and values are expected"),
        (("exception", "x", "--any", "kind=Pod"), "--policy-rules is required"),
        (("exception", "x", "--policy-rules", "p,r"), "either --any or --all is required"),
        (("user-info", "-o", "/nowhere/x"), "/nowhere/x: no such file or directory"),
    ],
)
def test_what_is_wrong_is_named(arguments: tuple[str, ...], reason: str) -> None:
    assert pyvern("create", *arguments) == (1, "", f"Error: {reason}\n")
