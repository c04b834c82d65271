"""Values that questions share."""

from __future__ import annotations

import pytest

from engine import Facts, Held, Lookup, compile_expression
from engine.lang.errors import UnknownKey


def test_an_expression_is_worked_out_once() -> None:
    value = [{"n": 1}, {"n": 2}]
    held = Held(value)
    assert held.searched(compile_expression("[?n > `1`] | length(@)")) == 1
    value.append({"n": 3})
    assert held.searched(compile_expression("[?n > `1`] | length(@)")) == 1


def test_an_error_is_raised_each_time() -> None:
    held = Held({"a": 1})
    for _ in range(3):
        with pytest.raises(UnknownKey):
            held.searched(compile_expression("b.c"))


def test_results_of_many_expressions_do_not_fill_the_memory() -> None:
    held = Held({"a": 1})
    for number in range(1000):
        held.searched(compile_expression(f"a == `{number}`"))
    assert len(held._results) == 64


def test_facts_read_what_is_ready() -> None:
    lookup = Lookup("globalReference", "entry")
    facts = Facts(ready=lambda asked: Held([1]) if asked == lookup else None)
    assert facts.answer(lookup) == [1]
    assert Facts({lookup: Held([2])}).answer(lookup) == [2]


@pytest.mark.parametrize(
    ("text", "steady"), [("items[].a", True), ("time_now_utc()", False), ("a[?time_since('', b, '')]", False)]
)
def test_expressions_that_depend_on_the_moment(text: str, steady: bool) -> None:
    assert compile_expression(text).steady is steady
