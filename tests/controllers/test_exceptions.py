"""Exceptions in the admission operator: which count, what their authors are told, which events tell of them."""

from __future__ import annotations

import json
from typing import Any

from controllers.admission import policy_review
from controllers.cluster import events
from controllers.cluster.exceptions import Exceptions
from controllers.cluster.settings import default_settings
from controllers.cluster.watch import Changed, Listed
from engine import GroupVersionKind, PolicyException, PolicySet, Request, compile_policy, validate

Object = dict[str, Any]


def exception(name: str, **spec: Any) -> Object:
    match = {"any": [{"resources": {"kinds": ["Pod"]}}]}
    references = [{"policyName": "p", "ruleNames": ["*"]}]
    return {
        "apiVersion": "kyverno.io/v2",
        "kind": "PolicyException",
        "metadata": {"name": name, "namespace": "blue"},
        "spec": {"match": match, "exceptions": references, **spec},
    }


def followed() -> tuple[Exceptions, list[tuple[PolicyException, ...]]]:
    seen: list[tuple[PolicyException, ...]] = []
    return Exceptions("*", seen.append), seen


def names(exceptions: tuple[PolicyException, ...]) -> list[str]:
    return sorted(one.identity.key for one in exceptions)


def test_exceptions_come_change_and_go() -> None:
    exceptions, seen = followed()
    exceptions.handle(Listed((exception("a"), exception("b"))))
    exceptions.handle(Changed("DELETED", exception("a")))
    exceptions.handle(Changed("ADDED", exception("c")))
    exceptions.handle(Listed((exception("d"),)))
    assert [names(one) for one in seen] == [["blue/a", "blue/b"], ["blue/b"], ["blue/b", "blue/c"], ["blue/d"]]
    assert exceptions.synced.is_set()


def test_one_that_no_longer_compiles_exempts_nothing() -> None:
    exceptions, seen = followed()
    exceptions.handle(Listed((exception("a"),)))
    exceptions.handle(Changed("MODIFIED", exception("a", exceptions=[])))
    assert seen[-1] == ()


def test_without_a_namespace_there_is_nothing_to_wait_for() -> None:
    assert Exceptions("", lambda _: None).synced.is_set()


def reviewed(document: Object | None, *, enabled: bool = True, namespace: str = "*") -> Object:
    review = {"uid": "1", "namespace": "blue", "object": document}
    answer: Object = json.loads(policy_review.exception(review, enabled=enabled, namespace=namespace))["response"]
    return answer


def test_authors_are_warned_where_an_exception_does_not_count() -> None:
    assert not reviewed(exception("a")).get("warnings")
    assert not reviewed(exception("a"), namespace="blue").get("warnings")
    for settings, warning in (
        ({"enabled": False}, "PolicyException resources would not be processed until it is enabled."),
        ({"namespace": ""}, "The exceptionNamespace flag is not set"),
        ({"namespace": "red"}, "PolicyException resource namespace must match the defined namespace."),
    ):
        answer = reviewed(exception("a"), **settings)
        assert (answer["allowed"], answer["warnings"]) == (True, [warning])


def test_an_exception_that_does_not_compile_is_denied() -> None:
    answer = reviewed(exception("a", match={"any": [{"subjects": [{"kind": "User", "name": "chip"}]}]}))
    assert not answer["allowed"]
    assert answer["status"]["message"].startswith("spec.match.any[0].subjects: ")


def test_events_tell_of_the_policy_and_of_every_exception() -> None:
    rule = {"name": "r", "match": {"any": [{"resources": {"kinds": ["Pod"]}}]}, "validate": {"message": "no", "deny": {}}}
    policy = {"apiVersion": "kyverno.io/v1", "kind": "ClusterPolicy", "metadata": {"name": "p"}, "spec": {"rules": [rule]}}
    exceptions, seen = followed()
    exceptions.handle(Listed((exception("a"), exception("b"))))
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x", "namespace": "blue"}}
    request = Request(operation="CREATE", kind=GroupVersionKind("", "v1", "Pod"), object=pod, namespace="blue", name="x")
    verdict = validate(PolicySet([compile_policy(policy)], seen[-1]), request)
    written = list(events.of_results(request, verdict.results, blocked=False, settings=default_settings("kyverno")))
    assert {event.reason for event in written} == {"PolicySkipped"}
    assert [(event.regarding.kind, event.regarding.namespace, event.regarding.name) for event in written] == [
        ("ClusterPolicy", "", "p"),
        ("PolicyException", "blue", "a"),
        ("PolicyException", "blue", "b"),
    ]
    assert written[0].note == "resource Pod/blue/x was skipped from rule r due to policy exceptions blue/a, blue/b"
