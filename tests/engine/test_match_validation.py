"""What check_match refuses beyond the recorded cases (tests/conformance/test_match.py has those, texts included)."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given

from engine.clauses.match import check_match
from engine.errors import InvalidPolicy
from tests.engine.test_match import NEAR_MISSES

PODS = {"kinds": ["Pod"]}


def refusal(match: Any, exclude: Any = None, *, namespaced: bool = False) -> str:
    rule = {"name": "r", "match": match, **({"exclude": exclude} if exclude is not None else {})}
    try:
        check_match(rule, "spec.rules[0]", namespaced=namespaced)
    except InvalidPolicy as error:
        return str(error)
    return ""


def test_an_ordinary_rule_is_accepted() -> None:
    assert refusal({"any": [{"resources": PODS}]}, {"any": [{"resources": {**PODS, "namespaces": ["kube-system"]}}]}) == ""


def test_a_block_that_stands_in_match_and_in_exclude_is_refused() -> None:
    text = refusal({"any": [{"resources": PODS}, {"resources": {"kinds": ["Secret"]}}]}, {"any": [{"resources": PODS}]})
    assert text.endswith(": Rule is matching an empty set")
    assert text.startswith('spec.rules[0]: Invalid value: {"name":"r","match":{"any":[{"resources":{"kinds":["Pod"]}}')


@pytest.mark.parametrize(
    ("match", "exclude", "refused"),
    [
        (PODS, PODS, True),
        ({**PODS, "names": ["a"]}, PODS, True),
        (PODS, {**PODS, "names": ["a"]}, False),
        ({**PODS, "names": ["web-1"]}, {**PODS, "names": ["web-*"]}, True),
        ({"kinds": ["Pod", "Secret"]}, PODS, False),
        (PODS, {"kinds": ["Pod", "Secret"]}, True),
        ({**PODS, "selector": {"matchLabels": {"a": "b", "c": "d"}}}, {**PODS, "selector": {"matchLabels": {"a": "b"}}}, True),
        ({**PODS, "selector": {"matchLabels": {"a": "b"}}}, {**PODS, "selector": {"matchLabels": {"c": "d"}}}, False),
        ({**PODS, "annotations": {"a": "b"}}, {**PODS, "annotations": {"a": "b", "c": "d"}}, False),
    ],
)
def test_the_direct_form_is_refused_when_exclude_covers_match(match: Any, exclude: Any, refused: bool) -> None:
    assert ("empty set" in refusal({"resources": match}, {"resources": exclude})) is refused


def test_the_quoted_rule_has_the_fields_in_the_order_of_the_api() -> None:
    resources = {
        "selector": {"matchExpressions": [{"operator": "Exists", "key": "a"}], "matchLabels": {"x<": "1"}},
        "kinds": ["Pod"],
    }
    text = refusal({"any": [{"resources": resources}]}, {"any": [{"resources": resources}]})
    assert (
        '{"kinds":["Pod"],"selector":{"matchLabels":{"x\\u003c":"1"},"matchExpressions":[{"key":"a","operator":"Exists"}]}}'
        in text
    )


def test_a_policy_must_not_filter_namespaces() -> None:
    match = {"any": [{"resources": {**PODS, "namespaces": ["a"]}}]}
    expected = "spec.rules[0].match.any[0].namespaces: Forbidden: Filtering namespaces not allowed in namespaced policies"
    assert refusal(match, namespaced=True) == expected
    assert refusal(match) == ""


def test_name_and_names_exclude_each_other() -> None:
    text = refusal({"any": [{"resources": {**PODS, "name": "a", "names": ["b"]}}]})
    assert text.endswith("Both name and names can not be specified together")


def test_several_problems_come_in_brackets() -> None:
    text = refusal({"any": [{"resources": {**PODS, "selector": {}}, "roles": ["dev"]}]})
    assert text.startswith("[spec.rules[0].match.any[0].roles[0]: ")
    assert text.endswith("The requirements are not specified in selector]")


def test_a_wrong_shape_is_named_with_its_place() -> None:
    assert refusal({"any": [{"resources": {"kinds": "Pod"}}]}) == "spec.rules[0].match.any[0].resources.kinds: must be a list"


@given(match=NEAR_MISSES, exclude=NEAR_MISSES)
def test_any_document_is_accepted_or_an_invalid_policy(match: Any, exclude: Any) -> None:
    refusal(match, exclude)
