"""Values and policies made to hurt: each is refused in bounded time and memory, and none lets anything through."""

from __future__ import annotations

import json
import re
import time
from typing import Any

import pytest

from engine.compiler import compile_policy
from engine.errors import InvalidPolicy
from engine.lang.cel import Environment
from engine.lang.duration import parse_duration
from engine.lang.errors import ExpressionError, ExpressionSyntaxError
from engine.lang.jmes import Document, compile_expression
from engine.lang.operators import compile_scalar
from engine.lang.quantity import parse_amount
from engine.lang.random_text import UnsupportedPattern, random_text
from engine.lang.yaml_value import InvalidYAML, load
from tests.policies import cluster_policy, request_for, rows

CONFIG_MAP = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "m"}, "data": {"a": "x"}}
MEGABYTE = 1_000_000


def rule(body: dict[str, Any], **clauses: Any) -> dict[str, Any]:
    return {
        "name": "r",
        "match": {"any": [{"resources": {"kinds": ["ConfigMap"]}}]},
        "validate": {"message": "no", **body},
        **clauses,
    }


@pytest.mark.parametrize("text", ["[" * MEGABYTE, "- " * MEGABYTE, "{a: " * 100_000, "? " * 100_000])
def test_yaml_that_nests_without_end_is_refused_and_ends_no_process(text: str) -> None:
    with pytest.raises(InvalidYAML, match="exceeded max depth"):
        load(text)


@pytest.mark.parametrize("suffix", ["", "h", "!h", "Ki", "x", ".", "e1"])
def test_a_megabyte_of_digits_is_read_in_one_pass(suffix: str) -> None:
    text = "9" * MEGABYTE + suffix
    begun = time.monotonic()
    assert parse_duration(text) is None
    assert parse_amount(text) is None
    for pattern in (">1h", ">=1Ki", "1-5", "1!-5", "<1.5"):
        assert compile_scalar(pattern)(text) in (True, False)
    assert time.monotonic() - begun < 5


@pytest.mark.parametrize("pattern", ["[a-z]{1000000000}", "(([a-z]{999}){999})", "(a{30}){30}{30}{30}{30}"])
def test_random_text_has_a_bounded_length(pattern: str) -> None:
    with pytest.raises(UnsupportedPattern):
        random_text(pattern, seed=1)


@pytest.mark.parametrize(
    "variable",
    [
        {"value": "{{last}}{{last}}"},
        {"jmesPath": "[last, last][]"},
        {"jmesPath": "[last, last]"},
        {"value": {"a": ["{{last}}"] * 2}},
    ],
)
def test_variables_that_double_each_other_end_in_an_error(variable: dict[str, Any]) -> None:
    text = json.dumps(variable)
    entries = [{"name": "v0", "variable": {"value": "abc"}}]
    for number in range(1, 30):
        entries.append({"name": f"v{number}", "variable": json.loads(text.replace("last", f"v{number - 1}"))})
    deny = {"deny": {"conditions": {"any": [{"key": "{{ v29 }}", "operator": "Equals", "value": "x"}]}}}
    ((_, status, message),) = rows(compile_policy(cluster_policy(rule(deny, context=entries))), request_for(CONFIG_MAP))
    assert status == "error"
    assert "context size limit exceeded" in message


def test_policies_nested_deeper_than_can_be_written_back_are_invalid() -> None:
    body: dict[str, Any] = {"list": "request.object.data.*", "deny": {}}
    for _ in range(130):
        body = {"list": "request.object.data.*", "foreach": [body]}
    with pytest.raises(InvalidPolicy, match="nested too deeply"):
        compile_policy(cluster_policy(rule({"foreach": [body]})))


def test_a_rule_that_recurses_too_deeply_errs_and_failure_policy_decides() -> None:
    entries = [{"name": "v0", "variable": {"value": "abc"}}]
    entries += [{"name": f"v{number}", "variable": {"value": f"{{{{ v{number - 1} }}}}"}} for number in range(1, 500)]
    deny = {"deny": {"conditions": {"any": [{"key": "{{ v499 }}", "operator": "Equals", "value": "x"}]}}}
    policy = compile_policy(cluster_policy(rule(deny, context=entries)))
    assert rows(policy, request_for(CONFIG_MAP)) == [("r", "error", "the rule, or what it reads, is nested too deeply")]


@pytest.mark.parametrize("depth", [100, 500, 900])
@pytest.mark.parametrize(
    "key", ["{{ to_string(request.object.data) }}", "{{ request.object.data }}", "{{ to_string(request.object.data) || '' }}"]
)
def test_a_deeply_nested_object_is_denied_like_any_other(depth: int, key: str) -> None:
    data: Any = "x"
    for _ in range(depth):
        data = {"a": data}
    deny = {"deny": {"conditions": {"any": [{"key": key, "operator": "NotEquals", "value": ""}]}}}
    ((_, status, _),) = rows(compile_policy(cluster_policy(rule(deny))), request_for({**CONFIG_MAP, "data": data}))
    assert status in ("fail", "error")


@pytest.mark.parametrize("text", [" " * 90_000 + "$", "1" * 90_000 + "e", "// x" * 20_000, "1" * 90_000 + "."])
def test_long_cel_texts_are_refused_without_backtracking(text: str) -> None:
    with pytest.raises(ExpressionSyntaxError):
        Environment({}).compile(text)


@pytest.mark.parametrize(
    ("expression", "value", "reason"),
    [
        ("parse_yaml(@)", "[" + "a," * (MEGABYTE // 2) + "]", "JMESPath function 'parse_yaml': yaml: more than 150000 values"),
        ("regex_replace_all('a', @, 'b')", "a" * MEGABYTE, "JMESPath function 'regex_replace_all': more than 100000 matches"),
        (
            "regex_replace_all_literal('', @, 'b')",
            "a" * MEGABYTE,
            "JMESPath function 'regex_replace_all_literal': more than 100000 matches",
        ),
    ],
)
def test_functions_that_take_time_for_each_piece_take_a_bounded_number(expression: str, value: str, reason: str) -> None:
    with pytest.raises(ExpressionError, match=re.escape(reason)):
        compile_expression(expression)(Document(value, now=0, seed=0))


def test_a_config_map_full_of_yaml_is_read() -> None:
    text = "".join(f"- name: item-{number}\n  value: some text\n" for number in range(25_000))
    assert len(text) > MEGABYTE * 0.9
    assert len(compile_expression("parse_yaml(@)")(Document(text, now=0, seed=0))) == 25_000
    assert compile_expression("regex_replace_all('item', @, 'x')")(Document(text, now=0, seed=0)).count("x-") == 25_000
