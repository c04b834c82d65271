"""Reports: rows of results, their merge, their count, documents that fit into a request (spec 1.4, 4.3)."""

from __future__ import annotations

import json
from typing import Any

import pytest

from engine import PolicySet, compile_exception, compile_policy, report, scan
from engine.report import Row, Subject
from engine.request import Object
from tests.policies import request_for

POD: Object = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "x", "namespace": "blue", "uid": "u1", "labels": {"app": "a"}},
    "spec": {"containers": [{"name": "c", "image": "nginx"}]},
}


def policy(name: str = "p", *, kind: str = "ClusterPolicy", rule: Object | None = None, **metadata: Any) -> Object:
    body: Object = {"message": "a team is needed", "pattern": {"metadata": {"labels": {"team": "?*"}}}}
    match = {"any": [{"resources": {"kinds": ["Pod"]}}]}
    return {
        "apiVersion": "kyverno.io/v1",
        "kind": kind,
        "metadata": {"name": name, **metadata},
        "spec": {"rules": [{"name": "team", "match": match, "validate": body, **(rule or {})}]},
    }


def rows(*documents: Object, seconds: int = 100, background: bool = True, exceptions: Any = ()) -> list[Row]:
    policies = PolicySet([compile_policy(document) for document in documents], exceptions)
    responses = scan(policies, request_for(POD))
    return [report.row(r, background=background, seconds=seconds) for response in responses for r in response.results]


def row(policy: str = "p", rule: str = "r", result: str = "pass", *, seconds: int = 1, **more: Any) -> Row:
    stamp = {"seconds": seconds, "nanos": 0}
    return {"source": "kyverno", "policy": policy, "rule": rule, "result": result, "scored": True, "timestamp": stamp, **more}


def test_a_row_shows_the_result_and_what_the_policy_says_of_itself() -> None:
    annotations = {"policies.kyverno.io/category": "Teams", "policies.kyverno.io/severity": "high"}
    assert rows(policy(annotations=annotations)) == [
        {
            "source": "kyverno",
            "policy": "p",
            "rule": "team",
            "result": "fail",
            "scored": True,
            "category": "Teams",
            "severity": "high",
            "message": "validation error: a team is needed. rule team failed at path /metadata/labels/team/",
            "properties": {"process": "background scan"},
            "timestamp": {"seconds": 100, "nanos": 0},
        }
    ]


def test_a_namespaced_policy_is_named_with_its_namespace() -> None:
    assert rows(policy(kind="Policy", namespace="blue"))[0]["policy"] == "blue/p"


def test_the_process_is_what_the_policy_allows() -> None:
    assert rows(policy(), background=False)[0]["properties"] == {"process": "admission review"}


def test_an_unscored_policy_warns() -> None:
    (found,) = rows(policy(annotations={"policies.kyverno.io/scored": "false"}))
    assert (found["result"], found["scored"]) == ("warn", False)


def test_an_unknown_severity_is_left_out() -> None:
    assert "severity" not in rows(policy(annotations={"policies.kyverno.io/severity": "terrible"}))[0]


def test_report_properties_are_shown_and_may_replace_the_message() -> None:
    own = {"team": "{{request.object.metadata.labels.app}}", "failMessage": "no team: {{request.object.metadata.name}}"}
    (found,) = rows(policy(rule={"reportProperties": own}))
    assert found["message"] == "no team: x"
    assert found["properties"] == {"process": "background scan", "team": "a"}


def test_a_message_for_other_results_is_not_used() -> None:
    (found,) = rows(policy(rule={"reportProperties": {"passMessage": "good"}}))
    assert found["message"].startswith("validation error")
    assert found["properties"] == {"process": "background scan"}


def test_an_exception_is_named() -> None:
    match = {"any": [{"resources": {"kinds": ["Pod"]}}]}
    spec = {"match": match, "exceptions": [{"policyName": "p", "ruleNames": ["team"]}]}
    metadata = {"name": "e", "namespace": "blue"}
    exception = compile_exception({"apiVersion": "kyverno.io/v2", "kind": "PolicyException", "metadata": metadata, "spec": spec})
    (found,) = rows(policy(), exceptions=[exception])
    assert (found["result"], found["properties"]["exceptions"]) == ("skip", "e")


@pytest.mark.parametrize("where", ["labels", "annotations"])
def test_a_policy_can_ask_not_to_be_reported(where: str) -> None:
    identity = compile_policy(policy(**{where: {"reports.kyverno.io/disabled": "true"}})).identity
    assert not report.reported(identity)
    assert report.reported(compile_policy(policy()).identity)


def test_the_newest_row_of_a_rule_wins_and_rows_are_sorted() -> None:
    old, new = row("b", "r", "fail", seconds=1), row("b", "r", "pass", seconds=2)
    first = row("a", "z")
    assert report.merge([new], [old], [first]) == [first, new]
    assert report.merge([old], [new]) == [new]


def test_of_equally_old_rows_the_later_one_wins() -> None:
    assert report.merge([row(result="fail")], [row(result="pass")]) == [row(result="pass")]


def test_rows_of_different_sources_or_bindings_are_different() -> None:
    foreign = row(source="ValidatingAdmissionPolicy", properties={"binding": "one"})
    other = row(source="ValidatingAdmissionPolicy", properties={"binding": "two"})
    assert len(report.merge([row()], [foreign], [other])) == 3


def test_rows_that_say_the_same_keep_their_timestamp() -> None:
    before = [row(seconds=1), row(rule="s", result="fail", seconds=1)]
    after = [row(seconds=9), row(rule="s", result="pass", seconds=9)]
    assert report.unchanged(after, before) == [row(seconds=1), row(rule="s", result="pass", seconds=9)]


def test_results_are_counted() -> None:
    found = report.summary([row(), row(rule="s"), row(rule="t", result="fail")])
    assert found == {"pass": 2, "fail": 1, "warn": 0, "error": 0, "skip": 0}


def test_a_fingerprint_is_of_what_rows_say_not_of_when_or_in_which_order() -> None:
    one, two = row(seconds=1), row(rule="s", properties={"a": "1", "b": "2"})
    assert report.fingerprint([one, two]) == report.fingerprint([{**two, "timestamp": {"seconds": 5, "nanos": 0}}, one])
    assert report.fingerprint([one]) != report.fingerprint([row(result="fail")])
    assert report.fingerprint([]) == ""


def test_the_report_of_a_namespaced_object_is_named_by_its_uid() -> None:
    made = report.document(Subject.of(POD), [row()])
    owner = {"apiVersion": "v1", "kind": "Pod", "name": "x", "uid": "u1"}
    assert made["kind"] == "PolicyReport"
    assert made["metadata"] == {
        "name": "u1",
        "namespace": "blue",
        "labels": {"app.kubernetes.io/managed-by": "kyverno"},
        "ownerReferences": [owner],
    }
    assert made["scope"] == {**owner, "namespace": "blue"}
    assert made["summary"]["pass"] == 1


def test_a_cluster_scoped_object_has_a_cluster_policy_report() -> None:
    made = report.document(Subject("v1", "Namespace", "blue", uid="u2"), [row()])
    assert made["kind"] == "ClusterPolicyReport"
    assert "namespace" not in made["metadata"]
    assert "namespace" not in made["scope"]


def test_a_report_too_big_for_a_request_has_shorter_texts_and_a_note() -> None:
    long = [row(rule=f"r{n}", result="fail", message="x" * 300_000) for n in range(8)]
    made = report.document(Subject.of(POD), [*long, row(rule="short", message="fine")])
    assert len(json.dumps(made)) < 1_500_000
    assert len(made["results"]) == 9
    assert made["results"][-1]["message"] == "fine"
    assert "8 results shortened, 0 left out" in made["metadata"]["annotations"][report.TRIMMED]


def test_characters_that_are_stored_longer_count_as_they_are_stored() -> None:
    made = report.document(Subject.of(POD), [row(rule=f"r{n}", result="fail", message="<&>" * 300_000) for n in range(2)])
    stored = json.dumps(made)
    for character in "<>&":
        stored = stored.replace(character, f"\\u{ord(character):04x}")
    assert 500_000 < len(stored) < 1_500_000
    assert len(made["results"]) == 2
    assert "bytes cut" in made["results"][0]["message"]


def test_of_too_many_rows_the_passing_ones_are_left_out_first() -> None:
    many = [row(rule=f"r{n}", result="fail" if n == 4999 else "pass", message="é" * 200) for n in range(5000)]
    kept, note = report.trim(many, 300_000)
    assert sum(len(json.dumps(one, ensure_ascii=False).encode()) for one in kept) <= 300_000
    assert kept[-1]["result"] == "fail"
    assert "left out" in note
    assert report.summary(many)["pass"] == 4999


def test_openreports_say_the_same_with_other_names() -> None:
    made = report.document(Subject.of(POD), [row(message="because")])
    other = report.openreports(made)
    assert (other["apiVersion"], other["kind"]) == ("openreports.io/v1alpha1", "Report")
    assert other["results"][0]["description"] == "because"
    assert "message" not in other["results"][0]
    assert report.rows_of(other) == report.rows_of(made)
