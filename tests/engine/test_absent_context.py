"""Context that nobody can give, offline: a rule that reads it never passes in silence (`Facts.absent`)."""

from __future__ import annotations

from typing import Any

import pytest

from engine import Facts, GroupVersionKind, PolicySet, Request, Status, compile_policy, validate

POD = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p", "namespace": "default"}, "spec": {}}
IMAGE = {"name": "image", "imageRegistry": {"reference": "nginx"}}


def status(key: str, *more: dict[str, Any], value: str = "bad", preconditions: Any = None) -> tuple[Status, str]:
    rule = {
        "name": "r",
        "match": {"any": [{"resources": {"kinds": ["Pod"]}}]},
        "context": [IMAGE, *more],
        **({"preconditions": preconditions} if preconditions else {}),
        "validate": {"message": "no", "deny": {"conditions": {"any": [{"key": key, "operator": "Equals", "value": value}]}}},
    }
    policy = {"apiVersion": "kyverno.io/v1", "kind": "ClusterPolicy", "metadata": {"name": "p"}, "spec": {"rules": [rule]}}
    request = Request(operation="CREATE", kind=GroupVersionKind("", "v1", "Pod"), object=POD, namespace="default", name="p")
    facts = Facts(absent=frozenset({"imageData"}))
    (only,) = validate(PolicySet([compile_policy(policy)]), request, facts).results
    return only.status, only.message


@pytest.mark.parametrize("key", ["{{ image.user || 'root' }}", "{{ image.user }}", "{{ not_null(image.user, 'root') }}"])
def test_what_would_pass_without_it_is_an_error(key: str) -> None:
    found, message = status(key)
    assert found is Status.ERROR
    assert '"image"' in message


def test_what_would_be_passed_by_without_it_is_an_error() -> None:
    met = {"all": [{"key": "{{ image.user || 'root' }}", "operator": "Equals", "value": "nobody"}]}
    assert status("bad", preconditions=met)[0] is Status.ERROR


def test_a_violation_stays_one() -> None:
    assert status("{{ image.user || 'bad' }}")[0] is Status.FAIL


def test_a_default_is_an_answer_its_author_gave() -> None:
    entry = {"name": "user", "variable": {"jmesPath": "image.user", "default": "root"}}
    assert status("{{ user }}", entry)[0] is Status.PASS


def test_a_rule_that_does_not_read_it_is_not_concerned() -> None:
    assert status("good")[0] is Status.PASS
