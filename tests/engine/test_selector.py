"""Label selectors: Kubernetes' semantics and Kyverno's wildcards."""

from __future__ import annotations

from typing import Any

import pytest

from engine.lang.label import key_problems, value_problems
from engine.lang.selector import InvalidSelector, compile_selector


def expression(operator: str, *values: str, key: str = "app") -> dict[str, Any]:
    return {"matchExpressions": [{"key": key, "operator": operator, "values": list(values)}]}


@pytest.mark.parametrize(
    ("selector", "labels", "selected"),
    [
        ({}, {}, True),
        ({"matchLabels": {}, "matchExpressions": None}, {"a": "b"}, True),
        ({"matchLabels": {"app": "web"}}, {"app": "web", "x": "y"}, True),
        ({"matchLabels": {"app": "web", "x": "z"}}, {"app": "web", "x": "y"}, False),
        ({"matchLabels": {"app": ""}}, {}, False),
        ({"matchLabels": {"app": "w*"}}, {"app": "web"}, True),
        ({"matchLabels": {"app": "*"}}, {}, False),
        ({"matchLabels": {"app": "?*"}}, {"app": ""}, False),
        ({"matchLabels": {"a*": "web"}}, {"app": "web"}, True),
        ({"matchLabels": {"*": "web"}}, {"app": "db", "x": "web"}, True),
        ({"matchLabels": {"*": "*"}}, {}, False),
        ({"matchLabels": {"*": "web", "app": "db"}}, {"app": "db"}, False),
        (expression("In", "web", "db"), {"app": "db"}, True),
        (expression("In", "web"), {}, False),
        (expression("NotIn", "web"), {}, True),
        (expression("NotIn", "web"), {"app": "web"}, False),
        (expression("Exists"), {"app": ""}, True),
        (expression("DoesNotExist"), {"app": ""}, False),
        ({"matchLabels": {"a": "b"}, **expression("Exists")}, {"a": "b"}, False),
    ],
)
def test_selection(selector: dict[str, Any], labels: dict[str, str], selected: bool) -> None:
    assert compile_selector(selector)(labels) is selected


@pytest.mark.parametrize(
    ("selector", "path", "reason"),
    [
        ([], "", "must be a map"),
        ({"matchLabels": ["a"]}, "matchLabels", "must be a map"),
        ({"matchLabels": {"a": 1}}, "matchLabels[a]", "must be a string"),
        ({"matchLabels": {"a": "b c"}}, "matchLabels[a]", 'values[0][a]: Invalid value: "b c": a valid label'),
        ({"matchExpressions": {"a": 1}}, "matchExpressions", "must be a list"),
        ({"matchExpressions": ["a"]}, "matchExpressions[0]", "must be a map"),
        ({"matchExpressions": [{"key": 1}]}, "matchExpressions[0]", "key and operator must be strings"),
        (expression("In", 1), "matchExpressions[0].values", "must be a list of strings"),  # type: ignore[arg-type]
        (expression("in", "a"), "matchExpressions[0]", '"in" is not a valid label selector operator'),
        (expression("In"), "matchExpressions[0]", "values: Invalid value: null: for 'in', 'notin' operators"),
        (expression("Exists", "a"), "matchExpressions[0]", 'values: Invalid value: ["a"]: values set must be empty'),
        (expression("In", "!", key="a/b/c"), "matchExpressions[0]", '[key: Invalid value: "a/b/c": a qualified name'),
    ],
)
def test_faults_are_named_with_their_place(selector: Any, path: str, reason: str) -> None:
    with pytest.raises(InvalidSelector) as caught:
        compile_selector(selector)
    assert caught.value.path == path
    assert caught.value.reason.startswith(reason)


@pytest.mark.parametrize("key", ["app", "a.b_c-d", "example.com/app", "x" * 63, "A"])
def test_valid_keys(key: str) -> None:
    assert key_problems(key) == []


@pytest.mark.parametrize("key", ["", "-a", "a-", "/a", "a/", "Example.com/a", "a/b/c", "x" * 64, "é", "a b", "a\n"])
def test_invalid_keys(key: str) -> None:
    assert key_problems(key)


def test_values_may_be_empty_and_must_not_be_long() -> None:
    assert value_problems("") == []
    assert value_problems("x" * 64) == ["must be no more than 63 bytes"]
    assert value_problems("a\n")
