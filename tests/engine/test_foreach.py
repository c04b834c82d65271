"""validate.foreach (spec 2.4, 9.8)."""

from __future__ import annotations

from typing import Any

import pytest

from engine.compiler import compile_policy
from engine.errors import InvalidPolicy
from tests.policies import Row, cluster_policy, request_for, rows

THING = {
    "apiVersion": "v1",
    "kind": "Thing",
    "metadata": {"name": "t"},
    "spec": {
        "words": ["a", "b"],
        "items": [{"name": "p", "v": 1, "tags": ["x"]}, {"name": "q", "v": 2, "tags": ["y", "z"]}],
        "empty": [],
        "null": None,
        "map": {"v": 7},
        "holes": [None, {"v": 3}],
    },
}


def foreach(*entries: Any) -> list[Row]:
    rule = {
        "name": "r",
        "match": {"any": [{"resources": {"kinds": ["Thing"]}}]},
        "validate": {"message": "m", "foreach": list(entries)},
    }
    return rows(compile_policy(cluster_policy(rule)), request_for(THING))


def denying(key: Any, value: Any) -> Any:
    return {"conditions": {"any": [{"key": key, "operator": "Equals", "value": value}]}}


def test_a_map_element_is_the_object_of_the_check() -> None:
    assert foreach({"list": "request.object.spec.items", "pattern": {"v": "<2"}}) == [
        ("r", "fail", "validation failure: validation error: m. rule r failed at path /v/")
    ]


def test_all_good_elements_pass() -> None:
    assert foreach({"list": "request.object.spec.items", "pattern": {"v": "<3"}}) == [("r", "pass", "rule passed")]


def test_without_element_scope_the_whole_object_is_checked() -> None:
    entry = {"list": "request.object.spec.items", "elementScope": False, "pattern": {"metadata": {"name": "t"}}}
    assert foreach(entry) == [("r", "pass", "rule passed")]


def test_element_scope_wants_maps() -> None:
    assert foreach({"list": "request.object.spec.words", "elementScope": True, "pattern": {"x": 1}})[0][1:] == (
        "error",
        "failed to process foreach: cannot use elementScope=true foreach rules for elements that are not maps, "
        "expected type=map got type=string",
    )


@pytest.mark.parametrize(
    "elements", ["request.object.spec.empty", "request.object.spec.null", "request.object.spec.nope", "bad((", "`[null]`"]
)
def test_nothing_to_check_gives_no_row(elements: str) -> None:
    assert foreach({"list": elements, "pattern": {"v": 1}}) == []


def test_a_value_that_is_no_list_is_its_only_element() -> None:
    assert foreach({"list": "request.object.spec.map", "pattern": {"v": 7}}) == [("r", "pass", "rule passed")]


def test_null_elements_are_passed_over() -> None:
    assert foreach({"list": "request.object.spec.holes", "deny": denying("{{ element.v }}", 3)})[0][1] == "fail"


def test_elements_have_an_index() -> None:
    assert (
        foreach({"list": "request.object.spec.words", "deny": denying("{{ elementIndex }}{{ element }}", "1b")})[0][1] == "fail"
    )


def test_preconditions_filter_elements() -> None:
    only = {"all": [{"key": "{{ element.v }}", "operator": "Equals", "value": 1}]}
    entry = {"list": "request.object.spec.items", "preconditions": only, "pattern": {"v": 1}}
    assert foreach(entry) == [("r", "pass", "rule passed")]
    nobody = {"all": [{"key": "{{ element.v }}", "operator": "Equals", "value": 9}]}
    assert foreach({**entry, "preconditions": nobody}) == []


def test_an_element_whose_preconditions_cannot_be_answered_is_passed_over() -> None:
    only = {"all": [{"key": "{{ element.nope }}", "operator": "Equals", "value": 1}]}
    assert foreach({"list": "request.object.spec.items", "preconditions": only, "pattern": {"v": 9}}) == []


def test_context_is_made_anew_for_every_element() -> None:
    context = [{"name": "x", "variable": {"jmesPath": "element.v"}}]
    entry = {"list": "request.object.spec.items", "context": context, "deny": denying("{{ x }}", 2)}
    assert foreach(entry) == [("r", "fail", "validation failure: m")]


def test_nested_foreach_sees_the_outer_element() -> None:
    inner = {"list": "element.tags", "deny": denying("{{ element }}-{{ element0.name }}-{{ elementIndex1 }}", "z-q-1")}
    assert foreach({"list": "request.object.spec.items", "foreach": [inner]}) == [
        ("r", "fail", "validation failure: validation failure: m")
    ]


def test_the_first_failing_entry_decides() -> None:
    good = {"list": "request.object.spec.items", "pattern": {"v": ">0"}}
    bad = {"list": "request.object.spec.items", "pattern": {"v": ">1"}}
    assert foreach(good, bad)[0][1] == "fail"


def test_an_element_that_cannot_be_judged_is_the_rules_error() -> None:
    assert foreach({"list": "request.object.spec.items", "deny": denying("{{ element.nope }}", 1)}) == [
        (
            "r",
            "error",
            "validation failure: failed to check deny conditions: failed to substitute variables in condition key: "
            'failed to resolve element.nope at path : JMESPath query failed: Unknown key "nope" in path',
        )
    ]


def test_an_element_that_fails_says_more_than_one_that_cannot_be_judged() -> None:
    assert foreach({"list": '`[{}, {"v": 2}]`', "deny": denying("{{ element.v }}", 2)})[0][1] == "fail"
    assert foreach({"list": '`[{}, {"v": 1}]`', "deny": denying("{{ element.v }}", 2)})[0][1] == "error"


@pytest.mark.parametrize(
    "entry",
    [
        {"list": "request.object.spec.items"},
        {"pattern": {"v": 1}},
        {"list": "request.object.spec.items", "pattern": {"v": 1}, "deny": {}},
        {"list": "request.object.spec.items", "pattern": {"v": 1}, "foreach": [{"list": "element.tags", "pattern": "x"}]},
    ],
)
def test_an_entry_has_a_list_and_one_check(entry: Any) -> None:
    with pytest.raises(InvalidPolicy):
        foreach(entry)
