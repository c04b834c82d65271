"""Whole rules with variables, context entries and foreach: oracle/variables.json."""

from __future__ import annotations

from engine.compiler import compile_policy
from engine.errors import InvalidPolicy
from tests.conformance.oracle import Case, cases, score
from tests.policies import cluster_policy, request_for, rows


def test_variables_are_resolved_as_kyverno_resolves_them() -> None:
    score("variables", cases("variables"), difference)


def difference(case: Case) -> str | None:
    rule, resource = case["rule"], case["resource"]
    if "match" not in rule:
        selected = {"kinds": [resource["kind"]], "names": [resource["metadata"]["name"]]}
        rule = {**rule, "match": {"any": [{"resources": selected}]}}
    try:
        policy = compile_policy(cluster_policy(rule))
    except InvalidPolicy as error:
        return None if case["result"] == "invalid" else f"invalid ({error}) instead of {case['result']}"
    found = rows(policy, request_for(resource, case.get("operation", "CREATE"), case.get("userinfo")))
    if case["result"] == "none":
        return f"{found} instead of no row" if found else None
    if len(found) != 1:
        return f"{found} instead of {case['result']}"
    _, status, text = found[0]
    if case["result"] == "panic":
        return None if status == "error" else f"{status} instead of a clear error"
    if (status, text) == (case["result"], case["text"]):
        return None
    return f"{status} {text!r} instead of {case['result']} {case['text']!r}"
