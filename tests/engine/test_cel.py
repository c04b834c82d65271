"""CEL: what compiles, what is refused and where, and how evaluation behaves."""

from __future__ import annotations

from typing import Any

import pytest

from engine.errors import Unknown
from engine.facts import Lookup
from engine.lang.cel import CelError, CostExceeded, Environment, Program, Struct, located, position
from engine.lang.errors import ExpressionError, ExpressionSyntaxError
from engine.lang.jmes import Document

OBJECT = {
    "metadata": {"name": "p", "labels": {"app": "web"}},
    "spec": {"containers": [{"name": "a", "image": "nginx:1"}, {"name": "b", "image": "nginx", "tty": True}], "replicas": 3},
}
ENVIRONMENT = Environment({"object": "dyn", "request": Struct("Request", {"name": "string", "flags": "map"})})


def program(text: str) -> Program:
    return ENVIRONMENT.compile(text)


def evaluate(text: str, **variables: Any) -> Any:
    return program(text)({"object": OBJECT, **variables})


def refusal(text: str) -> str:
    with pytest.raises(ExpressionSyntaxError) as caught:
        program(text)
    return located(caught.value)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("object.a +", "1:11: syntax error: unexpected end of expression"),
        ("object.a == 'x", "1:13: unterminated string literal"),
        ("true\n && missing", "2:5: undeclared reference to 'missing' (in container '')"),
        ("size(object, 1)", "1:1: found no matching overload for 'size' applied to '(dyn, int)'"),
        ("object.name.frobnicate()", "1:13: undeclared reference to 'frobnicate' (in container '')"),
        ("nope(1)", "1:1: undeclared reference to 'nope' (in container '')"),
        ("unknown.lib(1)", "1:1: undeclared reference to 'unknown' (in container '')"),
        ("'a' + 1", "1:5: found no matching overload for '_+_' applied to '(string, int)'"),
        ("1 == 'a'", "1:3: found no matching overload for '_==_' applied to '(int, string)'"),
        ("object.x && 'yes'", "1:13: found no matching overload for '_&&_' applied to '(string)'"),
        ("'a'.b", "1:4: type 'string' does not support field selection"),
        ("request.nmae", "1:8: undefined field 'nmae'"),
        ("[1].all(x.y, true)", "1:11: argument must be a simple name"),
        ("has(object)", "1:5: invalid argument to has() macro"),
        ("object.name.matches('(')", "1:13: invalid regular expression `(`: missing ): ("),
        ("for == 1", "1:1: reserved identifier: for"),
        ("1 ? 2 : 3", "1:3: found no matching overload for '_?_:_' applied to '(int)'"),
        ("isIP(cidr('10.0.0.0/8'))", "1:1: found no matching overload for 'isIP' applied to '(net.CIDR)'"),
        ("a" * 100_001, "1:1: expression is longer than 100000 characters"),
    ],
)
def test_mistakes_are_refused_with_line_and_column(text: str, reason: str) -> None:
    found = refusal(text)
    if "field selection" in reason or "undefined field" in reason or "undeclared" in reason:
        assert found.partition(": ")[2] == reason.partition(": ")[2]
    else:
        assert found == reason


def test_deep_nesting_is_refused_and_does_not_overflow() -> None:
    for text in ("(" * 5000 + "1" + ")" * 5000, "[" * 5000, "-" * 4999 + "(1)", "1" + "+1" * 5000, "object" + "[0]" * 5000):
        try:
            program(text)
        except ExpressionSyntaxError:
            continue
        assert text.startswith("-")


def test_long_chains_of_logic_are_flat() -> None:
    assert evaluate(" || ".join(["false"] * 2000 + ["true"])) is True


def test_the_position_of_an_offset() -> None:
    assert position("ab\ncd", 4) == (2, 2)
    assert position("ab", None) == (1, 1)


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("object.spec", "dyn"),
        ("object.spec == 1", "bool"),
        ("'a' + request.name", "string"),
        ("size(object) + 1", "int"),
        ("object.spec.containers.map(c, c.name)", "list"),
        ("object.x ? 'a' : 'b'", "string"),
        ("object.x ? 'a' : 1", "dyn"),
        ("quantity('1').add(1)", "kubernetes.Quantity"),
        ("object.?a.b", "optional_type"),
        ("request", "Request"),
    ],
)
def test_the_static_type_of_the_result(text: str, kind: str) -> None:
    assert program(text).result_kind == kind


def test_names_are_the_root_variables_that_are_read() -> None:
    assert program("object.a.all(x, x == request.name)").names == {"object", "request"}
    assert program("1 + 1").names == frozenset()


def test_a_constant_is_known_when_compiled() -> None:
    assert program("'a' + 'b' == 'ab'").constant
    assert not program("object.a").constant


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("object.spec.containers.all(c, c.image.startsWith('nginx'))", True),
        ("object.spec.containers.filter(c, has(c.tty)).map(c, c.name)", ["b"]),
        ("object.spec.containers.map(c, has(c.tty), c.name)", ["b"]),
        ("object.spec.containers.exists_one(c, c.?tty.orValue(false))", True),
        ("object.spec.?missing.?deeper.orValue('none')", "none"),
        ("object.spec.replicas > 2.5 && object.spec.replicas < 4u", True),
        ("object.spec.replicas == 3.0", True),
        ("has(object.spec.containers) && !has(object.spec.volumes)", True),
        ("has(object.metadata.name.nothing)", False),
        ("object.metadata.labels['app'] + '!'", "web!"),
        ("object.metadata.labels.exists(k, v, k == 'app' && v == 'web')", True),
        ("cel.bind(n, size(object.spec.containers), n * n)", 4),
        ("object.metadata.labels.transformMap(k, v, v + k)", {"app": "webapp"}),
        ("[1, 2].transformMapEntry(i, v, {string(i): v})", {"0": 1, "1": 2}),
        ("object.spec.containers.sortBy(c, c.image).map(c, c.name)", ["b", "a"]),
        ("object.spec.containers.map(a, object.spec.containers.map(b, a.name + b.name))", [["aa", "ab"], ["ba", "bb"]]),
        ("[3, 1, 2].sort() == [1, 2, 3] && [1, [2, [3]]].flatten() == [1, 2, [3]]", True),
        ("type(object) == map && type(1u) == uint", True),
        ("object.spec.orValue(1) == object.spec", True),
    ],
)
def test_expressions_over_json(text: str, value: Any) -> None:
    assert evaluate(text) == value


def test_true_is_no_one() -> None:
    assert evaluate("dyn(true) == 1") is False
    assert evaluate("true in [1]") is False
    assert evaluate("{true: 'a', 1: 'b'}[1]") == "b"
    assert evaluate("object.spec.containers[1].tty == true") is True


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("object.spec.volumes", "no such key: volumes"),
        ("object.spec.containers[2]", "index out of bounds: 2"),
        ("object.metadata.name + 1", "no such overload"),
        ("object.spec.containers.all(c, c.name)", "no such overload"),
        ("object.spec.replicas.matches('a')", "no such overload: matches(int, string)"),
        ("9223372036854775807 + object.spec.replicas", "integer overflow"),
        ("object.spec.replicas / 0", "division by zero"),
        ("optional.none().value()", "optional.none() dereference"),
        ("object.metadata.name.map(x, x)", "expression of type 'string' cannot be range of a comprehension"),
    ],
)
def test_evaluation_errors_say_what_is_missing(text: str, reason: str) -> None:
    with pytest.raises(CelError) as caught:
        evaluate(text)
    assert str(caught.value) == reason


def test_a_deciding_term_absorbs_errors_on_either_side() -> None:
    assert evaluate("object.nope == 1 || true") is True
    assert evaluate("false && object.nope == 1") is False
    assert evaluate("[0, 1].exists(x, 1 / x == 1)") is True
    assert evaluate("object.a.b || object.c || size(object) == 2") is True


class Asking:
    """An activation whose variables are not known yet."""

    def field(self, name: str) -> Any:
        raise Unknown([Lookup("configMap", name)])


@pytest.mark.parametrize("text", ["object.a || true", "false && object.a", "has(object.a)", "[1].exists(x, object.a) || true"])
def test_unknown_always_passes(text: str) -> None:
    with pytest.raises(Unknown):
        program(text.replace("false &&", "true &&"))(Asking())


def test_a_variable_is_read_once_and_only_if_needed() -> None:
    class Counting:
        def __init__(self) -> None:
            self.read: list[str] = []

        def field(self, name: str) -> Any:
            self.read.append(name)
            return OBJECT

    activation = Counting()
    assert program("size(object) == 2 && object.spec.replicas == 3 || request.name == 'x'")(activation) is True
    assert activation.read == ["object"]


def test_any_root_may_be_the_activation() -> None:
    assert program("object.a")(Document({"object": {"a": 1}})) == 1
    with pytest.raises(CelError, match="no such attribute"):
        program("object.a")(Document({}))


@pytest.mark.parametrize(
    "text",
    [
        "object.l.all(a, object.l.all(b, object.l.all(c, a + b + c >= 0)))",
        "object.l.map(a, object.l.map(b, object.l.map(c, c))).size() > 0 || true",
        "cel.bind(a, object.s + object.s, cel.bind(b, a + a + a + a, cel.bind(c, b + b + b + b, size(c + c + c + c)))) > 0",
        "object.s.replace('a', object.s).size() > 0",
        "[object.l, object.l].map(x, sets.contains(x, object.l)).size() > 0",
    ],
)
def test_evaluation_is_bounded(text: str) -> None:
    with pytest.raises(CostExceeded):
        program(text)({"object": {"l": list(range(1000)), "s": "a" * 200_000}})


def test_the_budget_can_be_lower() -> None:
    with pytest.raises(CostExceeded):
        program("object.all(x, x > 0)")({"object": [1] * 100}, budget=99)
    assert program("object.all(x, x > 0)")({"object": [1] * 100}, budget=100) is True


def test_unchecked_names_fail_when_evaluated() -> None:
    lenient = Environment({}, checked=False)
    assert lenient.compile("missing || true")({}) is True
    with pytest.raises(ExpressionError):
        lenient.compile("missing")({})


def test_objects_have_constructors() -> None:
    made = Environment({}, constructors={"Object": lambda name, fields: fields, "Object.*": lambda name, fields: fields})
    text = "Object{metadata: Object.metadata{labels: {'a': 'b'}, ?name: optional.none()}}"
    assert made.compile(text)({}) == {"metadata": {"labels": {"a": "b"}}}
    with pytest.raises(ExpressionSyntaxError):
        made.compile("JSONPatch{op: 'add'}")


def test_inputs_are_not_changed() -> None:
    before = {"l": [3, 1, 2], "m": {"a": 1}}
    program("object.l.sort() + object.l.reverse() == [] || object.m.transformMap(k, v, v) == {}")({"object": before})
    assert before == {"l": [3, 1, 2], "m": {"a": 1}}
