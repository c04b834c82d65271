"""Exceptions in the admission operator: which count, what their authors are told, which events tell of them."""

from __future__ import annotations

import json
from typing import Any

from controllers.admission import policy_review
from controllers.cluster import events
from controllers.cluster.exceptions import Exceptions, count_hits, expiry_event, standing
from controllers.cluster.metrics import Metrics
from controllers.cluster.settings import default_settings
from controllers.cluster.watch import Changed, Listed
from engine import GroupVersionKind, PolicyException, PolicySet, Request, compile_exception, compile_policy, validate

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


def expiring(name: str, moment: str) -> PolicyException:
    document = exception(name)
    document["metadata"] |= {"uid": name, "annotations": {"exceptions.pyvern.io/expires": moment}}
    return compile_exception(document)


def test_exceptions_count_until_they_expire() -> None:
    day = 86_400 * 10**9
    given = [expiring("a", "1970-01-02"), expiring("b", "1970-01-03"), compile_exception(exception("c"))]
    assert [(names(one.in_force), names(one.over), one.next) for one in (standing(given, now) for now in (0, day, 3 * day))] == [
        (["blue/a", "blue/b", "blue/c"], [], day),
        (["blue/b", "blue/c"], ["blue/a"], 2 * day),
        (["blue/c"], ["blue/a", "blue/b"], None),
    ]


def test_the_end_of_an_exception_is_told_under_one_name_by_everybody() -> None:
    one, later = expiring("a", "1970-01-02"), expiring("a", "1970-01-03")
    told = [expiry_event(each).document(instance) for each, instance in ((one, "x"), (one, "y"), (later, "x"))]
    assert told[0]["metadata"]["name"] == told[1]["metadata"]["name"] != told[2]["metadata"]["name"]
    assert (told[0]["reason"], told[0]["metadata"]["namespace"]) == ("ExceptionExpired", "blue")
    assert told[0]["note"] == "the exception has expired and no longer exempts anything from p"


def test_hits_are_counted_by_exception_and_rule() -> None:
    metrics = Metrics()
    rule = {"name": "r", "match": {"any": [{"resources": {"kinds": ["Pod"]}}]}, "validate": {"message": "no", "deny": {}}}
    policy = {"apiVersion": "kyverno.io/v1", "kind": "ClusterPolicy", "metadata": {"name": "p"}, "spec": {"rules": [rule]}}
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x", "namespace": "blue"}}
    request = Request(operation="CREATE", kind=GroupVersionKind("", "v1", "Pod"), object=pod, namespace="blue", name="x")
    verdict = validate(PolicySet([compile_policy(policy)], [compile_exception(exception("a"))]), request)
    for _ in range(2):
        count_hits(metrics, verdict.results, "admission_request")
    (line,) = [line for line in metrics.render().decode().splitlines() if line.startswith("pyvern_exception_hits_total{")]
    assert line.endswith("} 2.0")
    assert 'exception_name="a",exception_namespace="blue",policy_name="p"' in line


def test_a_date_that_is_none_is_refused_at_admission() -> None:
    document = exception("a")
    document["metadata"]["annotations"] = {"exceptions.pyvern.io/expires": "soon"}
    answer = reviewed(document)
    assert not answer["allowed"]
    assert answer["status"]["message"].startswith("metadata.annotations[exceptions.pyvern.io/expires]: `soon` is neither a day")
