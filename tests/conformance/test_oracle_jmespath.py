"""Kyverno's recorded answers to JMESPath queries."""

from __future__ import annotations

import json
from typing import Any

from engine.lang.errors import ExpressionError, ExpressionSyntaxError
from engine.lang.jmes import Document, compile_expression
from engine.lang.jmes.values import equal
from tests.conformance.oracle import Case, cases, score


def as_json(value: Any) -> Any:
    """A value as JSON shows it, numbers as float64: Kyverno has no others, `12345678901234567` reads back as …568 there."""
    return json.loads(json.dumps(value), parse_int=float)


def difference(case: Case) -> str | None:
    try:
        found = as_json(compile_expression(case["expr"])(Document(case["input"], now=0, seed=1)))
    except (ExpressionError, ExpressionSyntaxError) as error:
        return None if "error" in case else f"{case['expr']} -> error {error}, want {json.dumps(case['result'])[:200]}"
    if "error" in case:
        return f"{case['expr']} -> {json.dumps(found)[:200]}, want error {case['error']}"
    wanted = as_json(case["result"])
    if equal(found, wanted):
        return None
    return f"{case['expr']} -> {json.dumps(found)[:300]}, want {json.dumps(wanted)[:300]}"


def test_expressions_answer_as_kyverno() -> None:
    score("jmespath", cases("jmespath"), difference)
