"""Properties of JMESPath: agreement with the jmespath package where the dialects agree, and what never happens."""

from __future__ import annotations

import contextlib
import copy
from typing import Any

import jmespath
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.lang.errors import ExpressionError, ExpressionSyntaxError
from engine.lang.jmes import Root, UnknownKey, compile_expression

NAMES = st.sampled_from(["a", "b", "c", '"d e"'])
# Numbers from 2 on: the package takes 1 and true for equal inside lists and objects, Kyverno does not.
SCALARS = st.one_of(st.none(), st.booleans(), st.integers(2, 9), st.sampled_from(["", "x", "a"]))
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["a", "b", "c", "d e"]), inner, max_size=3),
    max_leaves=12,
)
DOCUMENTS = st.dictionaries(st.sampled_from(["a", "b", "c", "d e"]), VALUES, max_size=4)
LITERALS = st.sampled_from(["`null`", "`2`", "`true`", '`"x"`', "'a'", "`[]`", "`[2, [3]]`", '`{"a": 2}`'])


def _longer(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    """Expressions made of expressions: no function calls, and no order, which the package extends to strings."""
    suffix = st.sampled_from(
        [
            "[0]",
            "[-1]",
            "[5]",
            "[*]",
            "[]",
            "[1:]",
            "[:-1]",
            "[::-1]",
            ".*",
            ".a",
            ".b.c",
            "[*].a",
            "[].b",
            ".*.a",
            ".[a, b]",
            ".{x: a, y: @}",
            "[?a]",
            "[?@ == `2`].b",
            " | @",
            " | a",
        ]
    )
    operator = st.sampled_from(["||", "&&", "|", "==", "!="])
    return st.one_of(
        st.builds("{}{}".format, inner, suffix),
        st.builds("({}){}".format, inner, suffix),
        st.builds("({} {} {})".format, inner, operator, inner),
        st.builds("!({})".format, inner),
        st.builds("[{}, {}]".format, inner, inner),
        st.builds("{{x: {}, y: {}}}".format, inner, inner),
        st.builds("({})[?{}]".format, inner, inner),
    )


EXPRESSIONS = st.recursive(NAMES | LITERALS | st.just("@"), _longer, max_leaves=6)


def ours(expression: str, root: Any) -> Any:
    """Our answer; null for an unknown field, which is what the package says."""
    try:
        return compile_expression(expression)(root)
    except UnknownKey:
        return None


@settings(max_examples=300, deadline=None)
@given(EXPRESSIONS, DOCUMENTS)
def test_compiled_expressions_agree_with_the_jmespath_package(expression: str, document: dict[str, Any]) -> None:
    before = copy.deepcopy(document)
    assert ours(expression, document) == jmespath.search(expression, document)
    assert document == before


class Lazy(Root):
    def __init__(self, fields: dict[str, Any]) -> None:
        self.fields = fields

    def field(self, name: str) -> Any:
        if name not in self.fields:
            raise UnknownKey(name)
        return self.fields[name]

    def as_object(self) -> dict[str, Any]:
        return self.fields


@settings(max_examples=300, deadline=None)
@given(EXPRESSIONS, DOCUMENTS)
def test_a_root_answers_as_the_plain_object_does(expression: str, document: dict[str, Any]) -> None:
    compiled = compile_expression(expression)
    answers = []
    for root in (document, Lazy(document)):
        try:
            answers.append(compiled(root))
        except UnknownKey as error:
            answers.append(("unknown", error.key))
    assert answers[0] == answers[1]


@settings(max_examples=300, deadline=None)
@given(EXPRESSIONS, DOCUMENTS)
def test_an_expression_reads_only_the_paths_it_names(expression: str, document: dict[str, Any]) -> None:
    class Watched(Lazy):
        def field(self, name: str) -> Any:
            asked.add(name)
            return super().field(name)

        def as_object(self) -> dict[str, Any]:
            asked.add("@")
            return super().as_object()

    asked: set[str] = set()
    compiled = compile_expression(expression)
    with contextlib.suppress(UnknownKey):
        compiled(Watched(document))
    assert asked <= compiled.names


@settings(max_examples=300, deadline=None)
@given(st.text(alphabet="ab.[]*?&|!=<>()@,:{}'\"`-019 \\\n_é", max_size=25), VALUES)
def test_any_text_is_an_expression_or_a_syntax_error(text: str, document: Any) -> None:
    try:
        compiled = compile_expression(text)
    except ExpressionSyntaxError:
        return
    with contextlib.suppress(ExpressionError):
        compiled(document)
