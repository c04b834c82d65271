"""An explanation agrees with the engine: on the recorded cases of match, conditions and patterns."""

from __future__ import annotations

from engine.clauses.conditions import compile_conditions
from engine.clauses.match import compile_match
from engine.clauses.request_variables import bind_request
from engine.compiler import compile_policy
from engine.errors import EvaluationError, InvalidPolicy
from engine.explain import explain
from engine.explain.conditions import conditions_step
from engine.explain.match import clause_step
from engine.scope import Scope
from tests.conformance.oracle import cases
from tests.conformance.test_conditions import ANY_OBJECT
from tests.conformance.test_match import request_of
from tests.policies import cluster_policy, request_for


def test_attributes_of_match_together_are_the_match() -> None:
    asked = 0
    for case in cases("match"):
        if case["applied"] == "invalid":
            continue
        try:
            match = compile_match(case["match"], case.get("exclude"), path="spec.rules[0]")
        except InvalidPolicy:
            continue
        request = request_of(case)
        step = clause_step("match", case["match"], request, request.subject, "match")
        excluded = case.get("exclude") and clause_step("exclude", case["exclude"], request, request.subject, "exclude").holds
        assert (bool(step.holds) and not excluded) is match(request), case["id"]
        for block in step.steps if case["match"].get("any") or case["match"].get("all") else (step,):
            if block.steps:
                assert block.holds is all(attribute.holds for attribute in block.steps), (case["id"], block)
        asked += 1
    assert asked > 100


def test_conditions_one_by_one_together_are_the_conditions() -> None:
    asked = 0
    for case in cases("conditions"):
        one = {name: case.get(name) for name in ("key", "operator", "value")}
        document = case["conditions"] if "conditions" in case else {"any": [one]}
        scope = Scope(request_for(case.get("resource", ANY_OBJECT)))
        bind_request(scope)
        try:
            met, _ = compile_conditions(document, path="")(scope)
        except (InvalidPolicy, EvaluationError):
            continue
        step = conditions_step("deny", document, scope, "")
        assert step.holds is met, case["id"]
        if isinstance(document, dict):
            assert all(bool(block.holds) for block in step.steps) is met, case["id"]
        asked += 1
    assert asked > 100


def test_every_pattern_case_is_explained_by_what_decided_it() -> None:
    asked = 0
    for case in cases("patterns"):
        body = {key: case[key] for key in ("message", "pattern", "anyPattern") if key in case}
        match = {"any": [{"resources": {"kinds": [case["resource"]["kind"]]}}]}
        try:
            policy = compile_policy(cluster_policy({"name": case["rule"], "match": match, "validate": body}))
        except InvalidPolicy:
            continue
        (explanation,) = explain(policy, request_for(case["resource"]))
        step = explanation.steps[-1]
        assert explanation.outcome in ("pass", "fail", "skip", "error")
        if step.title == "pattern" and explanation.outcome in ("pass", "fail"):
            assert step.holds is (explanation.outcome == "pass"), case["id"]
        asked += 1
    assert asked > 100
