"""Mutate rules against Kyverno's recorded answers: status, text and the object after them."""

from __future__ import annotations

from typing import Any

from engine.compiler import compile_policy
from engine.document import same
from engine.errors import InvalidPolicy
from tests.conformance.oracle import Case, cases, score
from tests.policies import cluster_policy, outcomes, request_for


def answer(case: Case) -> tuple[str, str, Any]:
    """(status, text, object after it) of a mutate case."""
    resource = case["resource"]
    match = {"any": [{"resources": {"kinds": [resource["kind"]], "names": [resource["metadata"]["name"]]}}]}
    rule = {"name": case["rule"], "match": match, "mutate": case["mutate"]}
    try:
        policy = compile_policy(cluster_policy(rule))
    except InvalidPolicy as error:
        return "invalid", error.reason, None
    request = request_for(resource)
    found = outcomes(policy, request)
    if not found:
        return "none", "", None
    ((_, outcome),) = found
    return str(outcome.status), outcome.message, outcome.patched or request.object


def difference(case: Case) -> str | None:
    status, text, patched = answer(case)
    wanted = case["status"]
    if wanted == "panic":
        return None if status == "error" else f"{status} instead of an error"
    agrees = text in case["text"] if wanted == "invalid" else text == case["text"]
    if status != wanted or not agrees:
        return f"{status} `{text}` instead of {wanted} `{case['text']}`"
    if wanted not in ("pass", "skip"):
        return None
    expected = case["resource"] if case.get("unchanged") else case["patched"]
    expected = {**expected, "metadata": {"namespace": "default", **expected["metadata"]}}
    return None if same(patched, expected) else f"patched to {patched} instead of {expected}"


def test_mutations_answer_as_recorded() -> None:
    score("mutate", cases("mutate"), difference)
