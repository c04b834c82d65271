"""Conditions: operators, blocks and messages (spec 2.3, 9.8)."""

from __future__ import annotations

from typing import Any

import pytest

from engine.clauses.conditions import compile_conditions
from engine.errors import EvaluationError, InvalidPolicy
from engine.request import Request, kind_of
from engine.scope import Scope

OBJECT = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}, "spec": {"s": "abc", "n": None, "l": ["a", "b"]}}


def scope() -> Scope:
    made = Scope(Request(operation="CREATE", kind=kind_of(OBJECT), object=OBJECT))
    made.bind("request", {"object": OBJECT, "operation": "CREATE"})
    return made


def decided(document: Any) -> tuple[bool, str]:
    return compile_conditions(document, path="spec.rules[0].preconditions")(scope())


def holds(key: Any, operator: str, value: Any) -> bool:
    return decided([{"key": key, "operator": operator, "value": value}])[0]


@pytest.mark.parametrize(
    ("key", "operator", "value"),
    [
        ("abc", "Equals", "a*"),
        ("1h", "Equals", 3600),
        ("1Gi", "Equal", "1024Mi"),
        (5, "Equals", "5"),
        ({"a": [1]}, "Equals", {"a": [1.0]}),
        ("a", "NotEquals", "b"),
        (True, "NotEquals", "true"),
        (True, "NotEqual", 1),
        ([True], "NotEquals", [1]),
        ("a", "AnyIn", ["a", "b"]),
        (["a", "z"], "AnyIn", ["a", "b"]),
        (["a", "b"], "AllIn", '["a","b","c"]'),
        (15, "AllIn", "10-20"),
        (["z", "a"], "AnyNotIn", ["a", "b"]),
        (["y", "z"], "AllNotIn", ["a", "b"]),
        (5, "AllNotIn", "10-20"),
        ([], "AllIn", ["a"]),
        ([], "AllNotIn", ["a"]),
        ("a*", "In", ["abc"]),
        (["a"], "NotIn", ["b"]),
        (5, "GreaterThan", 3),
        ("10", "GreaterThan", "9"),
        ("1.10.0", "GreaterThan", "1.9.0"),
        ("2h", "GreaterThanOrEquals", "90m"),
        ("512Mi", "LessThan", "1Gi"),
        (59, "LessThanOrEquals", "1m"),
        ("2h", "DurationGreaterThan", "1h"),
        ("abc", "Equals", "{{ request.object.spec.s }}"),
        ("{{ request.object.spec.l }}", "AllIn", ["a", "b"]),
    ],
)
def test_holds(key: Any, operator: str, value: Any) -> None:
    assert holds(key, operator, value)


@pytest.mark.parametrize(
    ("key", "operator", "value"),
    [
        ("5", "Equals", 5),
        (3600, "Equals", "1h"),
        (True, "Equals", 1),
        ("Abc", "Equals", "abc"),
        ("0.1", "NotEquals", "a|b"),
        ("abc", "AnyIn", '["a*"]'),
        ([], "AnyIn", ["a"]),
        ([], "AnyNotIn", ["a"]),
        (2, "AnyIn", "!1-3"),
        ("a", "AllNotIn", "[5]"),
        ("v1.2.3", "GreaterThan", "1.0.0"),
        (True, "GreaterThan", 0),
        ("b", "GreaterThan", "a"),
        ("1d", "GreaterThan", "1h"),
    ],
)
def test_does_not_hold(key: Any, operator: str, value: Any) -> None:
    assert not holds(key, operator, value)


@pytest.mark.parametrize(
    "operator", ["Equals", "NotEquals", "AnyIn", "AllIn", "AnyNotIn", "AllNotIn", "In", "NotIn", "GreaterThan"]
)
def test_a_null_key_satisfies_nothing(operator: str) -> None:
    assert not holds("{{ request.object.spec.n }}", operator, "a")
    assert not holds("{{ request.object.spec.n }}", operator, ["a"])


def condition(result: bool, message: str = "") -> dict[str, Any]:
    return {"key": 1, "operator": "Equals", "value": 1 if result else 2, "message": message}


def test_any_and_all_both_have_to_hold() -> None:
    assert decided({"any": [condition(False), condition(True)], "all": [condition(True)]})[0]
    assert not decided({"any": [condition(False)], "all": [condition(True)]})[0]
    assert not decided({"any": [condition(True)], "all": [condition(True), condition(False)]})[0]


def test_no_conditions_hold_but_an_empty_any_does_not() -> None:
    assert decided({})[0]
    assert decided([])[0]
    assert decided({"all": []})[0]
    assert not decided({"any": []})[0]


def test_the_message_is_of_those_that_decided() -> None:
    assert decided({"any": [condition(False, "no"), condition(True, "yes")]}) == (True, "yes")
    assert decided({"any": [condition(False, "one"), condition(False, "two")]}) == (False, "one; two")
    assert decided({"all": [condition(True, "one"), condition(False, "two"), condition(False, "three")]}) == (False, "two")
    assert decided({"any": [condition(True, "a")], "all": [condition(True, "b")]}) == (True, "a; b")


def test_the_old_list_joins_its_messages_without_a_blank() -> None:
    assert decided([condition(True, "a"), condition(True, "b")]) == (True, "a;b")


def test_an_unresolvable_variable_is_an_error_only_where_it_is_reached() -> None:
    broken = {"key": "{{ request.object.spec.nope }}", "operator": "Equals", "value": 1}
    assert decided({"any": [condition(True), broken]})[0]
    with pytest.raises(EvaluationError, match="failed to substitute variables in condition key: failed to resolve"):
        decided({"any": [condition(False), broken]})
    with pytest.raises(EvaluationError, match="failed to substitute variables in condition value: failed to resolve"):
        holds(1, "Equals", "{{ request.object.spec.nope }}")


def test_values_that_are_nested_too_deeply_are_an_error_not_a_crash() -> None:
    def nested() -> list[Any]:
        value: list[Any] = []
        for _ in range(5000):
            value = [value]
        return value

    made = scope()
    made.bind("one", nested())
    made.bind("other", nested())
    conditions = compile_conditions([{"key": "{{ one }}", "operator": "Equals", "value": "{{ other }}"}], path="p")
    with pytest.raises(EvaluationError, match="nested too deeply"):
        conditions(made)


@pytest.mark.parametrize("document", [{"anyy": [], "all": []}, {"conditions": []}])
def test_blocks_other_than_any_and_all_are_refused(document: Any) -> None:
    with pytest.raises(InvalidPolicy, match=r"^here\.(anyy|conditions): unknown field$"):
        compile_conditions(document, path="here")


def test_in_refuses_lists_of_anything_but_text() -> None:
    with pytest.raises(EvaluationError, match="lists of strings"):
        holds([5], "In", ["5"])


@pytest.mark.parametrize(
    "document",
    [
        [{"key": 1, "operator": "equals", "value": 1}],
        [{"key": 1, "operator": "", "value": 1}],
        [{"key": None, "operator": "Equals", "value": 1}],
        [{"key": 1, "operator": "Equals"}],
        {"any": {"key": 1}},
        ["x"],
        "x",
    ],
)
def test_malformed_conditions_are_refused(document: Any) -> None:
    with pytest.raises(InvalidPolicy):
        compile_conditions(document, path="p")


def test_templates_are_all_keys_and_values() -> None:
    compiled = compile_conditions({"any": [{"key": "{{ a }}", "operator": "Equals", "value": "{{ b }}"}]}, path="p")
    assert [template.variables for template in compiled.templates] == [("a",), ("b",)]
