"""An explanation agrees with the engine: on the recorded cases of match, conditions and patterns."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from cli.documents import load_path
from cli.evaluation import Evaluator, World
from cli.fake_cluster import FakeCluster
from cli.offline_facts import OfflineFacts
from cli.policies import LoadedPolicy, load_policies
from cli.resources import Resource, load_resources
from engine.clauses.conditions import compile_conditions
from engine.clauses.match import compile_match
from engine.clauses.request_variables import bind_request
from engine.compiler import compile_policy
from engine.errors import EvaluationError, InvalidPolicy
from engine.explain import explain
from engine.explain.conditions import conditions_step
from engine.explain.match import clause_step
from engine.scope import Scope
from tests.conformance.oracle import cases, conformance_dir
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
        document = case.get("conditions", {"any": [one]})
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


def test_every_policy_of_the_cli_tests_is_explained() -> None:
    """No crash, and the steps never contradict the outcome."""
    asked = 0
    for file in sorted(conformance_dir().glob("data/**/kyverno-test.yaml")):
        for item, resource in _pairs(file):
            request = Evaluator(WORLD).request(resource.object, item.policy.identity.name)
            for explanation in explain(item.policy, request):
                holds = {step.title: step.holds for step in explanation.steps}
                body = [holds[title] for title in ("pattern", "anyPattern", "cel") if holds.get(title) is not None]
                where = f"{file}: {explanation.rule} on {resource.name}"
                assert explanation.document()["outcome"] == explanation.outcome
                assert explanation.outcome not in ("pass", "fail") or body in ([], [explanation.outcome == "pass"]), where
                assert explanation.outcome != "not matched" or holds.get("match") is not True or holds.get("exclude"), where
                asked += 1
    assert asked > 500


NOTHING = FakeCluster([])
WORLD = World(policies=(), facts=OfflineFacts(stored=NOTHING, cluster=NOTHING))
SHOWN = 12
"""Policies and resources of a test that are asked about."""


def _pairs(file: Path) -> Iterator[tuple[LoadedPolicy, Resource]]:
    document = next(iter(load_path(str(file)).documents)).value

    def paths(key: str) -> list[str]:
        return [str(file.parent / path) for path in document.get(key) or [] if "://" not in path]

    policies = load_policies(paths("policies")).items[:SHOWN]
    resources = load_resources(paths("resources")).items[:SHOWN]
    return ((policy, resource) for policy in policies for resource in resources)
