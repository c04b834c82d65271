"""Rules for pod controllers: oracle/autogen.json."""

from __future__ import annotations

from engine.compiler import compile_policy
from engine.errors import InvalidPolicy
from tests.conformance.oracle import Case, cases, score
from tests.policies import cluster_policy, outcomes, request_for


def test_generated_rules_answer_as_kyvernos_do() -> None:
    score("autogen", cases("autogen"), difference)


def difference(case: Case) -> str | None:
    refused = next((answer["invalid"] for answer in case["answers"] if "invalid" in answer), None)
    try:
        policy = compile_policy(cluster_policy(case["rule"], case["annotations"]))
    except InvalidPolicy as error:
        return None if refused else f"invalid: {error}"
    if refused:
        return f"valid instead of {refused}"
    for answer, resource in zip(case["answers"], case["resources"], strict=True):
        said = outcomes(policy, request_for(resource))
        found = sorted((name, str(outcome.status), outcome.message) for name, outcome in said)
        wanted = sorted((row["rule"], row["result"], row["text"]) for row in answer["results"])
        if [_comparable(row) for row in found] != [_comparable(row) for row in wanted]:
            return f"{answer['kind']}: {found} instead of {wanted}"
        patched = [outcome.patched for _, outcome in said if outcome.patched is not None]
        if "patched" in answer and patched[-1:] != [answer["patched"]]:
            return f"{answer['kind']}: patched to {patched[-1:]} instead of {answer['patched']}"
    return None


def _comparable(row: tuple[str, str, str]) -> tuple[str, str, list[str]]:
    """Pod security's groups come in a random order (oracle README)."""
    rule, status, text = row
    return rule, status, sorted(text.split("(Forbidden reason: ")) if "(Forbidden reason: " in text else [text]
