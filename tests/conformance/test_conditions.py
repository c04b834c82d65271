"""Preconditions and deny conditions against Kyverno's recorded answers: oracle/conditions.json."""

from __future__ import annotations

from typing import Any

from tests.conformance.oracle import Case, cases, score
from tests.conformance.rule import answer

ANY_OBJECT = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "any"}}


def test_conditions_decide_as_kyverno_decides() -> None:
    score("conditions", cases("conditions"), difference)


def difference(case: Case) -> str | None:
    status, text = answer(rule_of(case), case.get("resource", ANY_OBJECT))
    wanted = {True: "fail", False: "pass", "panic": "error"}.get(case["result"], case["result"])
    compares_text = status != "invalid" and case["result"] != "panic" and "text" in case
    if status == wanted and (not compares_text or text == case["text"]):
        return None
    return f"{status} `{text}` instead of {wanted} `{case.get('text')}`"


def rule_of(case: Case) -> dict[str, Any]:
    if "conditions" not in case:
        condition = {name: case[name] for name in ("key", "operator", "value")}
        return {"name": "condition", "validate": {"deny": {"conditions": {"any": [condition]}}}}
    body: dict[str, Any] = {"deny": {}}
    rule: dict[str, Any] = {"name": case["rule"], "validate": body}
    if case["as"] == "deny":
        body["deny"] = {"conditions": case["conditions"]}
    else:
        rule["preconditions"] = case["conditions"]
    if case.get("message") is not None:
        body["message"] = case["message"]
    return rule
