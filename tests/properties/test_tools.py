"""Damaged policies: lint says what is wrong and explain what follows, neither crashes or writes to what it was given."""

from __future__ import annotations

import copy
from contextlib import suppress
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from engine.compiler import compile_policy
from engine.errors import InvalidPolicy
from engine.explain import explain
from engine.lang.errors import ExpressionSyntaxError
from engine.lang.jmes.syntax import parse
from engine.lang.jmes.text import to_text
from engine.lint import CODES, lint, needs_of
from tests.policies import request_for
from tests.properties.test_policy_documents import PLACES, POLICY, VALUES

POD = request_for({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p", "namespace": "x1"}, "a": [1, {"b": "1"}, "x"]})
CHANGES = st.lists(st.tuples(st.sampled_from(PLACES), VALUES), min_size=1, max_size=2)


def damaged(changes: list[tuple[tuple[Any, ...], Any]]) -> dict[str, Any]:
    document = copy.deepcopy(POLICY)
    for place, value in changes:
        with suppress(KeyError, IndexError, TypeError):
            holder: Any = document
            for key in place[:-1]:
                holder = holder[key]
            holder[place[-1]] = value
    return document


@settings(max_examples=150, deadline=None)
@given(CHANGES)
def test_lint_finds_an_error_in_every_policy_that_does_not_compile(changes: list[tuple[tuple[Any, ...], Any]]) -> None:
    document = damaged(changes)
    before = repr(document)
    findings = lint(document)
    list(needs_of(document))
    assert repr(document) == before
    assert {finding.code for finding in findings} <= set(CODES)
    try:
        compile_policy(document)
    except InvalidPolicy:
        assert any(finding.level == "error" for finding in findings)


@settings(max_examples=70, deadline=None)
@given(CHANGES)
def test_every_policy_that_compiles_is_explained(changes: list[tuple[tuple[Any, ...], Any]]) -> None:
    document = damaged(changes)
    try:
        policy = compile_policy(document)
    except InvalidPolicy:
        return
    before = repr(document)
    explanations = explain(policy, POD)
    assert [explanation.rule for explanation in explanations] == [rule.name for rule in policy.rules]
    for explanation in explanations:
        explanation.document()
    assert repr(document) == before


OPERATORS = [".", "[", "]", "[]", "[?", "[*]", "*", "|", "||", "&&", "==", "<", "!", "(", ")", ",", "&", "{", ":", "}", " "]
OPERANDS = ["a", "b", '"x-y"', "@", "'t'", "`1`", "length(", "sort_by(", "[0]", "[1:]"]
WORDS = st.sampled_from([*OPERATORS, *OPERANDS])


@settings(max_examples=400, deadline=None)
@given(st.lists(WORDS, min_size=1, max_size=9))
def test_an_expression_written_anew_is_the_same_expression(words: list[str]) -> None:
    try:
        ast = parse("".join(words))
    except ExpressionSyntaxError:
        return
    assert parse(to_text(ast)) == ast
