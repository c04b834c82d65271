"""validate.deny (spec 2.4)."""

from __future__ import annotations

from typing import Any

import pytest

from engine.compiler import compile_policy
from engine.request import Object
from tests.policies import Row, cluster_policy, request_for, rows

THING = {"apiVersion": "v1", "kind": "Thing", "metadata": {"name": "t"}, "spec": {"n": 5}}
TRUE = {"key": 1, "operator": "Equals", "value": 1}
FALSE = {"key": 1, "operator": "Equals", "value": 2}


def deny(body: Any, message: str | None = None, operation: str = "CREATE") -> Row:
    validate: Object = {"deny": body} if message is None else {"message": message, "deny": body}
    rule = {"name": "r", "match": {"any": [{"resources": {"kinds": ["Thing"]}}]}, "validate": validate}
    (row,) = rows(compile_policy(cluster_policy(rule)), request_for(THING, operation))
    return row


def test_met_conditions_fail_with_the_rules_message() -> None:
    assert deny({"conditions": {"all": [TRUE]}}, "n is {{ request.object.spec.n }}") == ("r", "fail", "n is 5")


def test_unmet_conditions_pass() -> None:
    assert deny({"conditions": {"all": [FALSE]}}, "no") == ("r", "pass", "validation rule 'r' passed.")


def test_an_empty_deny_always_fails() -> None:
    assert deny({}, "never") == ("r", "fail", "never")


def test_without_any_message_the_rule_is_named() -> None:
    assert deny({"conditions": {"all": [TRUE]}}) == ("r", "fail", "validation error: rule r failed")


def test_messages_of_conditions_follow_the_rules() -> None:
    conditions = {"any": [{**TRUE, "message": "first {{ request.object.spec.n }}"}]}
    assert deny({"conditions": conditions}, "no {{ request.object.metadata.name }}") == ("r", "fail", "no t; first 5")


def test_where_the_message_cannot_be_resolved_the_conditions_messages_stay_as_written() -> None:
    conditions = {"any": [{**TRUE, "message": "first {{ request.object.spec.n }}"}]}
    assert deny({"conditions": conditions}, "x {{ request.object.nope }}") == ("r", "fail", "first {{ request.object.spec.n }}")


def test_a_message_that_is_no_text_is_called_out() -> None:
    assert deny({}, "{{ request.object.spec.n }}")[2] == (
        "the produced message didn't resolve to a string, check your policy definition."
    )


@pytest.mark.parametrize("operation", ["CREATE", "UPDATE", "DELETE"])
def test_deny_is_asked_for_every_operation(operation: str) -> None:
    condition = {"key": "{{ request.operation }}", "operator": "Equals", "value": operation}
    assert deny({"conditions": {"all": [condition]}}, "m", operation)[1] == "fail"


def test_a_condition_without_a_value_is_an_error() -> None:
    condition = {"key": "{{ request.object.nope }}", "operator": "Equals", "value": 1}
    assert deny({"conditions": {"all": [condition]}}) == (
        "r",
        "error",
        "failed to check deny conditions: failed to substitute variables in condition key: failed to resolve request.object.nope "
        'at path : JMESPath query failed: Unknown key "nope" in path',
    )
