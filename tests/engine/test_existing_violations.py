"""allowExistingViolations: an update that makes nothing worse passes an enforced rule (spec 2.4)."""

from dataclasses import replace
from typing import Any

import pytest

from engine import GroupVersionKind, PolicySet, Request, Status, User, compile_policy, validate

POD = GroupVersionKind("", "v1", "Pod")
PATTERN = {"pattern": {"metadata": {"labels": {"team": "?*"}}}}
SKIPPED = "skipping the rule evaluation as pre-existing violations are allowed"


def policies(validation: dict[str, Any], *, kind: str = "Pod", **rule: Any) -> PolicySet:
    return PolicySet(
        [
            compile_policy(
                {
                    "apiVersion": "kyverno.io/v1",
                    "kind": "ClusterPolicy",
                    "metadata": {"name": "p", "annotations": {"pod-policies.kyverno.io/autogen-controllers": "none"}},
                    "spec": {
                        "background": False,
                        "rules": [
                            {
                                "name": "r",
                                "match": {"any": [{"resources": {"kinds": [kind]}}]},
                                "validate": {"failureAction": "Enforce", "message": "no", **validation},
                                **rule,
                            }
                        ],
                    },
                }
            )
        ]
    )


def update(old_labels: dict[str, str], new_labels: dict[str, str], *, subresource: str = "") -> Request:
    old, new = ({"metadata": {"name": "a", "labels": labels}, "spec": {}} for labels in (old_labels, new_labels))
    document = {"operation": "UPDATE", "object": new, "oldObject": old}
    return Request(operation="UPDATE", kind=POD, object=new, old_object=old, name="a", subresource=subresource, document=document)


def test_an_object_that_violated_before_may_be_updated() -> None:
    verdict = validate(policies(PATTERN), update({}, {"x": "y"}))
    assert verdict.allowed
    assert [(result.status, result.message) for result in verdict.results] == [(Status.SKIP, SKIPPED)]


def test_an_object_that_obeyed_before_may_not_start_to_violate() -> None:
    assert not validate(policies(PATTERN), update({"team": "a"}, {})).allowed


def test_the_policy_may_forbid_existing_violations() -> None:
    assert not validate(policies({**PATTERN, "allowExistingViolations": False}), update({}, {"x": "y"})).allowed


@pytest.mark.parametrize(
    "rule",
    [
        {"preconditions": {"all": [{"key": "{{ request.operation }}", "operator": "Equals", "value": "UPDATE"}]}},
        {"match": {"any": [{"resources": {"kinds": ["Pod"], "operations": ["UPDATE"]}}]}},
    ],
)
def test_a_rule_about_updates_forgives_nothing(rule: dict[str, Any]) -> None:
    assert not validate(policies({"deny": {}}, **rule), update({}, {"x": "y"})).allowed


def test_a_rule_about_a_subresource_forgives_nothing() -> None:
    denying = policies({"deny": {}}, kind="Pod/ephemeralcontainers")
    assert not validate(denying, update({}, {}, subresource="ephemeralcontainers")).allowed


def test_cel_rules_forgive_nothing() -> None:
    assert not validate(policies({"cel": {"expressions": [{"expression": "false"}]}}), update({}, {"x": "y"})).allowed


def test_a_rule_about_users_forgives_nothing() -> None:
    match = {"any": [{"resources": {"kinds": ["Pod"]}, "subjects": [{"kind": "User", "name": "mallory"}]}]}
    request = replace(update({}, {}), user=User(username="mallory"))
    (result,) = validate(policies(PATTERN, match=match), request).results
    assert result.status is Status.FAIL
