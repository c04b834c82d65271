"""Our CEL answers as Google's C++ implementation does (package cel-expr-python), on generated expressions over JSON.

Left out is where cel-go, which Kubernetes uses, differs from it: `has` and `.?` on values without fields, and `int(bool)`.
"""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.lang.cel import Environment, KeyedMap, TypeValue
from engine.lang.errors import ExpressionError, ExpressionSyntaxError

cel = pytest.importorskip("cel_expr_python.cel")
OPTIONAL = pytest.importorskip("cel_expr_python.ext.ext_optional")
STRINGS = pytest.importorskip("cel_expr_python.ext.ext_strings")

ERROR = "an error"
LEAVES = st.one_of(
    st.none(), st.booleans(), st.integers(-5, 5), st.sampled_from([0.5, 2.0, -1.0]), st.sampled_from(["", "a", "ab", "1"])
)
NAMES = st.sampled_from(["a", "b", "c"])
JSON = st.recursive(
    LEAVES, lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(NAMES, inner, max_size=3)), max_leaves=8
)
DOCUMENTS = st.dictionaries(NAMES, JSON, max_size=3)
ATOMS = st.sampled_from(
    [
        *("o", "o.a", "o.b", "o.a.b", "o['c']", "o.?b.orValue(2)", "o.?a.hasValue()", "o[?'b'].orValue(o)", "o.?c.orValue(1)"),
        *("1", "2u", "0.5", "-3", "'a'", "''", "true", "false", "null", "[]", "[1, 2.0, 'a']", "{'a': 1}", "x", "b'a'", "dyn(2)"),
    ]
)
BINARY = st.sampled_from(["+", "-", "*", "/", "%", "==", "!=", "<", "<=", ">", ">=", "&&", "||"])
FUNCTIONS = st.sampled_from(["size", "string", "double", "type", "bool"])
MEMBERS = st.sampled_from(["startsWith", "endsWith", "contains"])
MACROS = st.sampled_from(["all", "exists", "exists_one", "map", "filter"])


def compound(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.one_of(
        st.builds("({} {} {})".format, inner, BINARY, inner),
        st.builds("({} in [{}, {}])".format, inner, inner, inner),
        st.builds("({} ? {} : {})".format, inner, inner, inner),
        st.builds("({})[{}]".format, inner, inner),
        st.builds("has({{'a': {}, 'b': 2}}.a)".format, inner),
        st.builds("!({})".format, inner),
        st.builds("{}({})".format, FUNCTIONS, inner),
        st.builds("({}).{}(x, {})".format, inner, MACROS, inner),
        st.builds("({}).{}({})".format, inner, MEMBERS, inner),
    )


EXPRESSIONS = st.recursive(ATOMS, compound, max_leaves=8)
OURS = Environment({"o": "dyn", "x": "dyn"}, checked=False)
THEIRS = cel.NewEnv(variables={"o": cel.Type.DYN, "x": cel.Type.DYN}, extensions=[OPTIONAL.ExtOptional(), STRINGS.ExtStrings()])


def plain(value: Any) -> Any:
    """A value to compare: maps as sorted pairs, NaN as a word, the type beside each number."""
    if isinstance(value, (dict, KeyedMap)):
        return sorted(((repr(plain(key)), plain(item)) for key, item in value.items()), key=repr)
    if isinstance(value, list):
        return [plain(item) for item in value]
    if isinstance(value, float):
        return "nan" if math.isnan(value) else ("double", value)
    if isinstance(value, bool) or value is None:
        return value
    if isinstance(value, int):
        return int(value)
    if isinstance(value, (bytes, bytearray)):
        return bytes(value)
    if isinstance(value, TypeValue):
        return ("type", value.name.upper())
    if isinstance(value, cel.Type):
        return ("type", {"NULL": "NULL_TYPE"}.get(value.name(), value.name().partition("<")[0]))
    return value if isinstance(value, str) else type(value).__name__


def ours(expression: str, document: Any) -> Any:
    try:
        return plain(OURS.compile(expression)({"o": document, "x": 2}))
    except (ExpressionError, ExpressionSyntaxError):
        return ERROR


def theirs(expression: str, document: Any) -> Any:
    try:
        value = THEIRS.compile(expression, disable_check=True).eval(data={"o": document, "x": 2})
    except Exception:  # noqa: BLE001 - whatever the binding raises
        return ERROR
    return ERROR if value.type() == cel.Type.ERROR else plain(value.plain_value())


@settings(max_examples=300, deadline=None)
@given(EXPRESSIONS, DOCUMENTS)
def test_answers_agree(expression: str, document: Any) -> None:
    assert ours(expression, document) == theirs(expression, document)
