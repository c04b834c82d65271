"""PolicySet: order, immutability and the index."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from engine.clauses.match import compile_match
from engine.policy import Effect, Policy, PolicyIdentity, Rule
from engine.policyset import PolicyKey, PolicySet, key_of
from engine.request import GroupVersionKind, Request

POD = GroupVersionKind("", "v1", "Pod")
VALIDATING = frozenset({Effect.VALIDATE})


def rule(identity: PolicyIdentity, name: str, resources: dict[str, Any], effect: Effect) -> Rule:
    match = compile_match({"any": [{"resources": resources}]}, None, path="", policy_namespace=identity.namespace)
    return Rule(identity, name, effect, match, lambda scope: None, lambda request: "Audit", document={})


def policy(
    name: str, *kinds: str, namespace: str = "", effect: Effect = Effect.VALIDATE, kind: str = "", **resources: Any
) -> Policy:
    identity = PolicyIdentity("kyverno.io/v1", kind or ("Policy" if namespace else "ClusterPolicy"), name, namespace)
    rules = tuple(rule(identity, f"rule-{one}", {"kinds": [one], **resources}, effect) for one in kinds or ("Pod",))
    return Policy(identity, rules)


def asks(kind: GroupVersionKind = POD, **changes: Any) -> Request:
    return Request(**{"operation": "CREATE", "kind": kind, "object": {}, "namespace": "default", **changes})


def names(policies: PolicySet, request: Request, effects: frozenset[Effect] = VALIDATING) -> list[str]:
    return [f"{found.identity.key}:{one.name}" for found, rules in policies.select(request, effects) for one in rules]


def keys(policies: PolicySet) -> list[str]:
    return [one.identity.key for one in policies]


def test_cluster_policies_come_first_then_names_decide() -> None:
    policies = PolicySet([policy("b"), policy("a", namespace="default"), policy("c", namespace="x"), policy("a")])
    assert keys(policies) == ["a", "b", "default/a", "x/c"]


def test_rules_keep_their_written_order() -> None:
    policies = PolicySet([policy("p", "v1/Pod", "Pod", "P*")])
    assert names(policies, asks()) == ["p:rule-v1/Pod", "p:rule-Pod", "p:rule-P*"]


def test_only_rules_of_the_kind_are_selected() -> None:
    policies = PolicySet([policy("p", "Pod", "Secret"), policy("q", "Secret"), policy("w", "*")])
    assert names(policies, asks()) == ["p:rule-Pod", "w:rule-*"]
    assert names(policies, asks(subresource="exec")) == []
    assert names(policies, asks(subresource="ephemeralcontainers")) == ["p:rule-Pod", "w:rule-*"]


def test_operations_narrow_the_selection() -> None:
    policies = PolicySet([policy("p", operations=["DELETE"])])
    assert names(policies, asks()) == []
    assert names(policies, asks(operation="DELETE")) == ["p:rule-Pod"]


def test_effects_narrow_the_selection() -> None:
    policies = PolicySet([policy("m", effect=Effect.MUTATE), policy("v")])
    assert names(policies, asks(), frozenset({Effect.MUTATE})) == ["m:rule-Pod"]
    assert names(policies, asks(), frozenset(Effect)) == ["m:rule-Pod", "v:rule-Pod"]


def test_namespaced_policies_are_selected_in_their_namespace_only() -> None:
    policies = PolicySet([policy("c", "*"), policy("n", "*", namespace="default")])
    assert names(policies, asks()) == ["c:rule-*", "default/n:rule-*"]
    assert names(policies, asks(namespace="other")) == ["c:rule-*"]
    namespace = GroupVersionKind("", "v1", "Namespace")
    assert names(policies, asks(namespace, namespace="default")) == ["c:rule-*"]


def test_what_only_the_object_tells_is_left_to_match() -> None:
    policies = PolicySet([policy("p", names=["other"])])
    assert names(policies, asks()) == ["p:rule-Pod"]


def test_a_change_makes_a_new_set_and_leaves_the_old_one() -> None:
    before = PolicySet([policy("a")])
    assert names(before, asks()) == ["a:rule-Pod"]
    after = before.plus(policy("b")).minus(("ClusterPolicy", "", "a"))
    assert names(after, asks()) == ["b:rule-Pod"]
    assert names(before, asks()) == ["a:rule-Pod"]


def test_plus_replaces_the_policy_of_the_same_key() -> None:
    first, second = policy("a"), policy("a", "Secret")
    policies = PolicySet([first]).plus(second)
    assert list(policies) == [second]
    assert list(PolicySet([first, second])) == [second]


def test_minus_of_an_unknown_key_is_the_same_set() -> None:
    policies = PolicySet([policy("a")])
    assert policies.minus(("ClusterPolicy", "", "b")) is policies
    assert policies.minus(("Policy", "", "a")) is policies


def test_policies_are_found_by_key() -> None:
    one, other = policy("a"), policy("a", kind="ValidatingPolicy")
    policies = PolicySet([one, other])
    assert policies.get(("ClusterPolicy", "", "a")) is one
    assert policies.get(key_of(other.identity)) is other
    assert policies.get(("Policy", "default", "a")) is None
    assert PolicyKey("ClusterPolicy", "", "a") in policies
    assert len(policies) == 2


KEYS = st.tuples(st.sampled_from(["", "x", "y"]), st.sampled_from("abcd"))


@given(st.lists(st.tuples(st.booleans(), KEYS), max_size=12))
def test_steps_and_one_go_make_the_same_set(steps: list[tuple[bool, tuple[str, str]]]) -> None:
    policies, held = PolicySet(), {}
    for added, (namespace, name) in steps:
        made = policy(name, namespace=namespace)
        if added:
            policies = policies.plus(made)
            held[key_of(made.identity)] = made
        else:
            policies = policies.minus(key_of(made.identity))
            held.pop(key_of(made.identity), None)
    assert list(policies) == list(PolicySet(held.values()))
    assert all(policies.get(key) is one for key, one in held.items())
