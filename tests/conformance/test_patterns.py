"""validate.pattern and anyPattern against Kyverno's recorded answers, status and text: oracle/patterns.json."""

from __future__ import annotations

from tests.conformance.oracle import Case, cases, score
from tests.conformance.rule import answer


def test_patterns_answer_as_kyverno_does() -> None:
    score("patterns", cases("patterns"), difference)


def difference(case: Case) -> str | None:
    body = {key: case[key] for key in ("message", "pattern", "anyPattern") if key in case}
    status, text = answer({"name": case["rule"], "validate": body}, case["resource"])
    if case["result"] == "panic":
        return None if status == "error" else f"{status} instead of a clear error"
    agrees = status == "invalid" or text == case["text"]
    return None if status == case["result"] and agrees else f"{status} `{text}` instead of {case['result']} `{case['text']}`"
