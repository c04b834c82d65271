"""Updates of policies with generate rules: what must stay, and what is worth a warning (spec 2.8)."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from engine import InvalidPolicy, check_update, update_warnings
from engine.request import Object

STALE = ("no synchronization will be performed to the old target resource upon policy updates",)


def rule(name: str = "r", **changes: Any) -> Object:
    match = {"any": [{"resources": {"kinds": ["Namespace"]}}]}
    target = {"apiVersion": "v1", "kind": "ConfigMap", "name": "cm", "namespace": "x", "data": {"data": {"a": "b"}}}
    return {"name": name, "match": match, "generate": target, **changes}


def policy(*rules: Object) -> Object:
    return {"apiVersion": "kyverno.io/v1", "kind": "ClusterPolicy", "metadata": {"name": "p"}, "spec": {"rules": list(rules)}}


def generating(**changes: Any) -> Object:
    return rule(generate={**rule()["generate"], **changes})


@pytest.mark.parametrize(
    "after",
    [
        policy(rule()),
        policy(rule(), rule("more")),
        policy(generating(synchronize=True)),
        policy(generating(data={"data": {"a": "c"}})),
        policy({"name": "r", "match": {}, "validate": {"deny": {}}}),
        policy(rule(), {"name": "v", "validate": {"deny": {}}}),
    ],
)
def test_what_may_change(after: Object) -> None:
    before = policy(rule())
    check_update(before, after)
    assert update_warnings(before, after) == ()
    assert before == policy(rule())


def test_a_rule_may_go() -> None:
    check_update(policy(rule(), rule("more")), policy(rule()))


@pytest.mark.parametrize(
    "after",
    [
        policy(rule("renamed")),
        policy(rule(match={"any": [{"resources": {"kinds": ["Secret"]}}]})),
        policy(rule(exclude={"any": [{"resources": {"namespaces": ["kube-system"]}}]})),
        policy(rule(preconditions={"all": []})),
        policy(rule(context=[])),
    ],
)
def test_what_a_rule_matches_must_stay(after: Object) -> None:
    with pytest.raises(InvalidPolicy) as caught:
        check_update(policy(rule()), after)
    assert str(caught.value) == "spec.rules[0]: changes of immutable fields of a rule spec in a generate rule is disallowed"


def test_rules_do_not_come_and_go_at_once() -> None:
    with pytest.raises(InvalidPolicy):
        check_update(policy(rule("a"), rule("b"), rule("c")), policy(rule("a"), rule("d")))


@pytest.mark.parametrize(
    "change", [{"name": "other"}, {"namespace": "y"}, {"kind": "Secret"}, {"apiVersion": "v2"}, {"clone": {"name": "z"}}]
)
def test_another_target_leaves_the_old_one_behind(change: Object) -> None:
    check_update(policy(rule()), policy(generating(**change)))
    assert update_warnings(policy(rule()), policy(generating(**change))) == STALE


def test_null_is_absent() -> None:
    after = copy.deepcopy(policy(rule()))
    after["spec"]["rules"][0]["exclude"] = None
    check_update(policy(rule()), after)
