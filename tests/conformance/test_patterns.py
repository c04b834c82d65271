"""validate.pattern and anyPattern against Kyverno's recorded answers: status and text."""

from __future__ import annotations

from typing import Any

from engine.clauses.template import compile_template
from engine.errors import EvaluationError, InvalidPolicy
from engine.request import Request, kind_of
from engine.rules import pattern
from engine.scope import Scope
from tests.conformance.oracle import Case, cases, score


def answer(case: Case) -> tuple[str, str]:
    """(status, text) of a pattern case."""
    resource = case["resource"]
    resource = {**resource, "metadata": {"namespace": "default", **resource["metadata"]}}
    scope = Scope(Request(operation="CREATE", kind=kind_of(resource), object=resource))
    scope.bind("request", {"object": resource, "operation": "CREATE"})
    message = compile_template(case["message"]) if "message" in case else None
    compile_check, body = (pattern.compile_check, "pattern") if "pattern" in case else (pattern.compile_any_check, "anyPattern")
    try:
        check = compile_check(case[body], rule=case["rule"], message=message, path=f"spec.rules[0].validate.{body}")
        outcome = check(scope)
    except InvalidPolicy as error:
        return "invalid", error.reason
    except EvaluationError as error:
        return "error", str(error)
    assert outcome is not None
    return outcome.status.value, outcome.message


def difference(case: Case) -> str | None:
    status, text = answer(case)
    wanted: Any = case["result"]
    if wanted == "panic":
        return None if status == "error" else f"{status} instead of an error"
    agrees = text in case["text"] if wanted == "invalid" else text == case["text"]
    if status == wanted and agrees:
        return None
    return f"{status} `{text}` instead of {wanted} `{case['text']}`"


def test_patterns_answer_as_recorded() -> None:
    score("patterns", cases("patterns"), difference)
