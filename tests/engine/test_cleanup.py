"""Cleanup policies: what they want deleted, and what is refused (spec 2.13)."""

from __future__ import annotations

from typing import Any

import pytest

from engine import Facts, InvalidPolicy, PolicySet, Unknown, compile_policy, deletable
from engine.request import Object
from engine.result import Result, Status
from tests.policies import request_for


def policy(*, namespace: str = "", **spec: Any) -> Object:
    match = {"any": [{"resources": {"kinds": ["Pod"]}}]}
    return {
        "apiVersion": "kyverno.io/v2",
        "kind": "CleanupPolicy" if namespace else "ClusterCleanupPolicy",
        "metadata": {"name": "p", "namespace": namespace} if namespace else {"name": "p"},
        "spec": {"schedule": "*/5 * * * *", "match": match, **spec},
    }


def pod(name: str = "x", **metadata: Any) -> Object:
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, **metadata}}


def results(document: Object, found: Object, facts: Facts | None = None) -> tuple[Result, ...]:
    policies = PolicySet([compile_policy(document)])
    return tuple(result for response in deletable(policies, request_for(found), facts or Facts()) for result in response.results)


BY_NAME = {"all": [{"key": "{{ target.metadata.name }}", "operator": "Equals", "value": "{{ wanted }}"}]}
WANTED = [{"name": "wanted", "variable": {"value": "example"}}]


def test_what_matches_is_deleted() -> None:
    assert [result.status for result in results(policy(), pod())] == [Status.PASS]
    assert results(policy(), {**pod(), "kind": "ConfigMap"}) == ()
    excluded = policy(exclude={"any": [{"resources": {"names": ["x"]}}]})
    assert results(excluded, pod()) == ()


def test_conditions_look_at_the_target() -> None:
    document = policy(conditions=BY_NAME, context=WANTED)
    assert results(document, pod("example"))[0].status is Status.PASS
    assert results(document, pod("other"))[0].status is Status.SKIP


def test_a_condition_that_cannot_be_answered_deletes_nothing() -> None:
    conditions = {"all": [{"key": "{{ target.metadata.labels.old }}", "operator": "Equals", "value": "yes"}]}
    (result,) = results(policy(conditions=conditions), pod())
    assert result.status is Status.ERROR
    assert result.message.startswith("failed to evaluate conditions: ")


def test_data_from_outside_is_asked_for() -> None:
    context = [{"name": "wanted", "apiCall": {"urlPath": "/api/v1/namespaces/default", "jmesPath": "metadata.name"}}]
    with pytest.raises(Unknown) as caught:
        results(policy(conditions=BY_NAME, context=context), pod())
    (lookup,) = caught.value.lookups
    facts = Facts({lookup: {"metadata": {"name": "example"}}})
    assert results(policy(conditions=BY_NAME, context=context), pod("example"), facts)[0].status is Status.PASS


def test_a_namespaced_policy_looks_at_its_namespace() -> None:
    document = policy(namespace="blue")
    assert results(document, pod(namespace="blue"))[0].status is Status.PASS
    assert results(document, pod(namespace="red")) == ()


def test_operations_mean_nothing() -> None:
    match = {"any": [{"resources": {"kinds": ["Pod"], "operations": ["DELETE"]}}]}
    assert results(policy(match=match), pod())[0].status is Status.PASS


def test_the_schedule_and_the_propagation_are_kept() -> None:
    compiled = compile_policy(policy(deletionPropagationPolicy="Foreground"))
    assert compiled.cleanup is not None
    assert compiled.cleanup.propagation == "Foreground"
    assert compiled.cleanup.schedule.next(0) == 300_000_000_000
    assert not compiled.admission


@pytest.mark.parametrize(
    ("spec", "path"),
    [
        ({"schedule": "every day"}, "spec.schedule"),
        ({"schedule": None}, "spec.schedule"),
        ({"match": None}, "spec.match"),
        ({"match": {"any": [{"resources": {"kinds": ["Pod"]}, "roles": ["a:b"]}]}}, "spec.match.any[0].roles"),
        ({"exclude": {"any": [{"clusterRoles": ["admin"]}]}}, "spec.exclude.any[0].clusterRoles"),
        ({"match": {"all": [{"subjects": [{"kind": "User", "name": "chip"}]}]}}, "spec.match.all[0].subjects"),
        ({"context": [{"name": "a", "configMap": {"name": "x", "namespace": "y"}}]}, "spec.context[0].configMap"),
        ({"context": [{"name": "a", "imageRegistry": {"reference": "x"}}]}, "spec.context[0].imageRegistry"),
        ({"conditions": {"all": [{"key": "a", "operator": "Nope", "value": 1}]}}, "spec.conditions.all[0]"),
        ({"deletionPropagationPolicy": "Slowly"}, "spec.deletionPropagationPolicy"),
        ({"rules": []}, "spec.rules"),
    ],
)
def test_faults_are_named_by_their_path(spec: dict[str, Any], path: str) -> None:
    with pytest.raises(InvalidPolicy) as caught:
        compile_policy(policy(**spec))
    assert caught.value.path == path
