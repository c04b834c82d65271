"""JMESPath in Kyverno's dialect: what forgives an unknown field, what an expression reads, how it asks the Root."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Callable
from typing import Any

import pytest

from engine.lang.errors import ExpressionError, ExpressionSyntaxError
from engine.lang.jmes import FUNCTIONS, Document, Root, UnknownKey, compile_expression
from engine.request import GroupVersionKind, Request
from engine.scope import Scope

POD: dict[str, Any] = {
    "metadata": {"name": "web", "labels": {"app": "web"}},
    "spec": {
        "containers": [
            {"name": "one", "image": "nginx:1.25", "ports": [{"port": 80}]},
            {"name": "two", "image": "redis"},
        ]
    },
}


class Recorder(Root):
    """A root that remembers which names were asked for."""

    def __init__(self, fields: dict[str, Any]) -> None:
        self.fields = fields
        self.asked: list[str] = []

    def field(self, name: str) -> Any:
        self.asked.append(name)
        if name not in self.fields:
            raise UnknownKey(name)
        return self.fields[name]

    def as_object(self) -> dict[str, Any]:
        self.asked.append("@")
        return self.fields


def evaluate(expression: str, document: Any = POD) -> Any:
    return compile_expression(expression)(document)


@pytest.mark.parametrize("expression", ["nope", "metadata.nope", "nope.name", "nope[0]", "spec.containers[0].nope", "@.nope"])
def test_an_unknown_field_is_an_error(expression: str) -> None:
    with pytest.raises(UnknownKey) as caught:
        evaluate(expression)
    assert caught.value.key == "nope"
    assert str(caught.value) == 'Unknown key "nope" in path'


@pytest.mark.parametrize(
    ("expression", "result"),
    [
        ("nope || 'x'", "x"),
        ("metadata.nope.deeper || 'x'", "x"),
        ("nope && 'x'", None),
        ("!nope", True),
        ("nope == `null`", True),
        ("nope > `1`", None),
        ("nope | type(@)", "null"),
        ("metadata | nope", None),
        ("type(nope)", "null"),
        ("[metadata.name, nope]", ["web", None]),
        ("{a: nope}", {"a": None}),
        ("nope[*]", None),
        ("nope[]", None),
        ("nope.*", None),
        ("nope[?a]", None),
        ("spec.containers[*].ports", [[{"port": 80}]]),
        ("spec.containers[?ports].name", ["one"]),
        ("spec.containers[?ports.nope == 'x'].name", []),
        ("map(&ports, spec.containers)", [[{"port": 80}], None]),
    ],
)
def test_what_forgives_an_unknown_field(expression: str, result: Any) -> None:
    assert evaluate(expression) == result


def test_the_right_side_of_and_does_not_forgive() -> None:
    with pytest.raises(UnknownKey):
        evaluate("'x' && nope")


def test_the_right_side_of_or_forgives() -> None:
    assert evaluate("nope || zilch") is None


@pytest.mark.parametrize("value", [None, 5, 2.5, True, "text", [1]])
def test_a_field_of_something_that_is_no_object_is_null(value: Any) -> None:
    assert evaluate("a.b", {"a": value}) is None
    assert evaluate("a.b.c", {"a": value}) is None


def test_zero_is_true_and_emptiness_is_false() -> None:
    assert evaluate("a || 'x'", {"a": 0}) == 0
    assert [evaluate("a || 'x'", {"a": empty}) for empty in ("", [], {}, None, False)] == ["x"] * 5


def test_true_is_not_one() -> None:
    assert evaluate("a == `1`", {"a": True}) is False
    assert evaluate("a == `[1]`", {"a": [True]}) is False
    assert evaluate("a == `1.0`", {"a": 1}) is True
    assert evaluate("a > `0`", {"a": True}) is None


def test_the_input_is_never_written_to() -> None:
    before = copy.deepcopy(POD)
    for expression in (
        "merge(metadata, `{}`)",
        "sort_by(spec.containers, &name)",
        "reverse(spec.containers)",
        "spec.containers[]",
    ):
        evaluate(expression)
    assert before == POD


@pytest.mark.parametrize(
    ("expression", "reason", "offset"),
    [
        ("{ a.b }", "SyntaxError: Expected tColon, received: tDot", 3),
        ("a-1", "SyntaxError: Unexpected token at the end of the expression: tNumber", 1),
        ("a['s']", "SyntaxError: Expected tStar, received: tStringLiteral", 2),
        ("bad((", "SyntaxError: Incomplete expression", 5),
        ("a.", "SyntaxError: Expected identifier, lbracket, or lbrace", 2),
        ("'open", "SyntaxError: Unclosed delimiter: '", 0),
        ("'\\\\'", "SyntaxError: Unclosed delimiter: '", 0),
        ("a + b", "SyntaxError: Unknown char: '+'", 2),
        ("", "SyntaxError: Incomplete expression", 0),
        ("a[::0]", "SyntaxError: Invalid slice, step cannot be 0", 2),
        ("to_uper(a)", "unknown function: to_uper", None),
        ("length()", "incorrect number of args: length(string|array|object) number got 0", None),
        ("sort_by(a, b)", "argument 2 of sort_by must be an expression (&…)", None),
    ],
)
def test_a_faulty_expression_does_not_compile(expression: str, reason: str, offset: int | None) -> None:
    with pytest.raises(ExpressionSyntaxError) as caught:
        compile_expression(expression)
    assert (caught.value.reason, caught.value.offset, caught.value.expression) == (reason, offset, expression)


@pytest.mark.parametrize("expression", ["`abc`", "`NaN`", "`1e999`", "`'a'`"])
def test_a_literal_must_be_json(expression: str) -> None:
    with pytest.raises(ExpressionSyntaxError, match="JSON literal"):
        compile_expression(expression)


@pytest.mark.parametrize(
    "expression", ["(" * 5000 + "a" + ")" * 5000, "!" * 5000 + "a", "`" + "[" * 100_000 + "`", f"a[{'9' * 5000}]"]
)
def test_bottomless_expressions_are_refused(expression: str) -> None:
    with pytest.raises(ExpressionSyntaxError):
        compile_expression(expression)


@pytest.mark.parametrize(
    ("expression", "paths"),
    [
        ("request.userInfo.username", {("request", "userInfo", "username")}),
        ('"request".object', {("request", "object")}),
        ("request.object.spec.containers[0].name", {("request", "object", "spec", "containers")}),
        ("request.object.* | [0]", {("request", "object")}),
        ("request | userInfo.groups", {("request", "userInfo", "groups")}),
        ("request.{a: operation, b: object.metadata}", {("request", "operation"), ("request", "object", "metadata")}),
        ("a.b || c", {("a", "b"), ("c",)}),
        ("items[?@.x == y].z", {("items",)}),
        ("length(element.list)", {("element", "list")}),
        ("@.a", {("a",)}),
        ("keys(@)", {("@",)}),
        ("request | 'x'", {("request",)}),
        ("'x'", set()),
        ("random('[a-z]')", set()),
    ],
)
def test_the_paths_an_expression_reads_are_known_before_it_runs(expression: str, paths: set[tuple[str, ...]]) -> None:
    compiled = compile_expression(expression)
    assert compiled.paths == paths
    assert compiled.names == {path[0] for path in paths}


@pytest.mark.parametrize("expression", ["a.b", "@.a.b", "a || c", "[a.b]", "to_string(a)", "a | b"])
def test_only_the_names_an_expression_needs_are_asked_for(expression: str) -> None:
    root = Recorder({"a": {"b": 1}, "c": 2})
    compile_expression(expression)(root)
    assert root.asked == ["a"]


def test_what_the_root_raises_passes_through_everything_that_forgives() -> None:
    class Question(Exception):
        pass

    class Asking(Recorder):
        def field(self, name: str) -> Any:
            raise Question(name)

    for expression in ("a || 'x'", "!a", "[a]", "a == `1`", "to_string(a)", "a[*].b", "not_null(a, 'x')", "a | b"):
        with pytest.raises(Question):
            compile_expression(expression)(Asking({}))


def test_an_expression_keeps_text_and_tree() -> None:
    compiled = compile_expression("a.b")
    assert compiled.text == "a.b"
    assert compiled.ast["type"] == "subexpression"


def test_time_and_randomness_are_the_roots() -> None:
    root = Document({}, now=1_700_000_000_000_000_000, seed=7)
    assert compile_expression("time_now_utc()")(root) == "2023-11-14T22:13:20Z"
    assert compile_expression("time_since('', '2023-11-14T22:13:00Z', '')")(root) == "20s"
    draw = compile_expression("random('[a-z]{20}')")
    first, second = draw(root), draw(root)
    assert first != second
    assert [first, second] == [draw(again) for again in [Document({}, seed=7)] for _ in range(2)]


@pytest.mark.parametrize("expression", ["time_now()", "random('a')", "is_external_url('http://example.com')"])
def test_a_root_that_does_not_know_says_so(expression: str) -> None:
    with pytest.raises(ExpressionError):
        evaluate(expression)


def test_every_function_has_a_signature_and_a_note() -> None:
    kyverno = {name: function for name, function in FUNCTIONS.items() if not function.builtin}
    assert len(kyverno) == 51
    assert kyverno["compare"].signature("compare") == "compare(string, string) number"
    assert kyverno["lookup"].signature("lookup") == "lookup(object|array, string|number) any"
    assert all(function.note for function in FUNCTIONS.values())


@pytest.mark.parametrize("name", sorted(FUNCTIONS))
def test_no_function_takes_just_anything(name: str) -> None:
    """Wrong arguments end in an ExpressionError, never in a Python error."""
    function = FUNCTIONS[name]
    values = [
        "`1`",
        "`1.5`",
        "`-3`",
        "'x'",
        "''",
        "`true`",
        "`null`",
        "`[]`",
        '`[1, "a", null]`',
        "`{}`",
        '`{"a": [1]}`',
        "`[[1], {}]`",
    ]
    count = max(len(function.parameters), 2 if function.variadic else 0)
    for value in values:
        arguments = ["&@" if function.parameter(index).is_expression else value for index in range(count)]
        with contextlib.suppress(ExpressionError):
            compile_expression(f"{name}({', '.join(arguments)})")(Document({}, now=0, seed=0))


def test_an_argument_of_the_wrong_type_is_named_as_go_shows_it() -> None:
    with pytest.raises(ExpressionError, match=r'Invalid type for: map\[a:1\], expected: \[\]jmespath.JpType\{"string"\}'):
        evaluate("to_upper(@)", {"a": 1})


def rebinding(expression: str) -> Callable[[Any], Any]:
    return compile_expression(expression)


def test_one_compiled_expression_serves_many_documents() -> None:
    run = rebinding("a[?b == 'x'].c | [0]")
    assert [run({"a": [{"b": "x", "c": number}]}) for number in range(3)] == [0, 1, 2]


def test_a_scope_answers_time_and_randomness_from_its_request() -> None:
    def scope() -> Scope:
        kind = GroupVersionKind("", "v1", "Pod")
        return Scope(Request(operation="CREATE", kind=kind, object={}, now=1_700_000_000_000_000_000, seed=3))

    draw, other = compile_expression("random('[a-z]{12}')"), compile_expression("random('[0-9]{12}')")
    first = scope()
    drawn = [draw(first), draw(first.child()), other(first)]
    assert drawn[0] != drawn[1]
    again = scope()
    assert [other(again), draw(again), draw(again)] == [drawn[2], drawn[0], drawn[1]]
    assert compile_expression("time_now()")(again) == "2023-11-14T22:13:20Z"
