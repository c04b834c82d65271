"""JMESPath's own compliance suite. Where Kyverno's dialect differs, known_gaps.toml says so, case by case."""

from __future__ import annotations

import json
from collections.abc import Iterator

from engine.lang.errors import ExpressionError, ExpressionSyntaxError
from engine.lang.jmes import compile_expression
from engine.lang.jmes.values import equal
from tests.conformance.oracle import Case, conformance_dir, score


def compliance_cases() -> Iterator[Case]:
    """One dict per case with `id` = `file/suite/case`, counted from 0; benchmarks have no expected result and are left out."""
    for file in sorted((conformance_dir() / "jmespath").glob("*.json")):
        for suite_number, suite in enumerate(json.loads(file.read_bytes())):
            for number, case in enumerate(suite["cases"]):
                if "bench" not in case:
                    yield {"id": f"{file.stem}/{suite_number}/{number}", "given": suite["given"], **case}


def difference(case: Case) -> str | None:
    try:
        found = compile_expression(case["expression"])(case["given"])
    except (ExpressionError, ExpressionSyntaxError) as error:
        return None if "error" in case else f"{case['expression']} -> error {error}, want {json.dumps(case['result'])}"
    if "error" in case:
        return f"{case['expression']} -> {json.dumps(found)}, want error {case['error']}"
    # The suite leaves the order of values open where an object is projected; ours is the object's order, as in the suite.
    return (
        None
        if equal(found, case["result"])
        else f"{case['expression']} -> {json.dumps(found)}, want {json.dumps(case['result'])}"
    )


def test_expressions_obey_the_compliance_suite() -> None:
    score("jmespath-compliance", compliance_cases(), difference)
