"""`pyvern jp`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from engine.lang.jmes import FUNCTIONS
from tests.cli.program import pyvern

PIPE = """# a.b.c | truncate(@, `9`)
ASTPipe {
  children: {
    ASTSubexpression {
      children: {
        ASTSubexpression {
          children: {
            ASTField {
              value: "a"
            }
            ASTField {
              value: "b"
            }
        }
        ASTField {
          value: "c"
        }
    }
    ASTFunctionExpression {
      value: "truncate"
      children: {
        ASTCurrentNode {
        }
        ASTLiteral {
          value: 9
        }
    }
}
"""


@pytest.fixture
def document(tmp_path: Path) -> Path:
    file = tmp_path / "object.yaml"
    file.write_text("metadata: {name: x, labels: {b: '1', a: <}}\nempty: {}\nlist: [1, 2.50, []]\n")
    return file


def test_results_come_after_their_queries_as_indented_json_with_sorted_keys(document: Path) -> None:
    ran = pyvern("jp", "query", "-i", document, "metadata.labels", "list", "empty")
    assert ran.out == ('# metadata.labels\n{\n  "a": "\\u003c",\n  "b": "1"\n}\n# list\n[\n  1,\n  2.5,\n  []\n]\n# empty\n{}\n')


def test_compact_and_unquoted(document: Path) -> None:
    assert pyvern("jp", "query", "-c", "-i", document, "list").out == "# list\n[1,2.5,[]]\n"
    assert pyvern("jp", "query", "-u", "-i", document, "metadata.name").out == "# metadata.name\nx\n"


def test_the_document_comes_from_standard_input() -> None:
    assert pyvern("jp", "query", "to_lower(foo)", stdin='{"foo": "BAR"}').out == '# to_lower(foo)\n"bar"\n'


def test_queries_come_from_files_first_and_from_standard_input_where_there_is_none(document: Path, tmp_path: Path) -> None:
    query = tmp_path / "query"
    query.write_text("metadata.name\n")
    assert pyvern("jp", "query", "-i", document, "-q", query, "empty").out == '# metadata.name\n"x"\n# empty\n{}\n'
    assert pyvern("jp", "query", "-i", document, stdin="metadata.name\n").out == '# metadata.name\n"x"\n'


def test_neither_query_nor_document_is_an_error() -> None:
    assert pyvern("jp", "query") == (1, "", "Error: at least one query or input object is required\n")


def test_a_faulty_expression_is_shown_with_a_caret(document: Path) -> None:
    ran = pyvern("jp", "query", "-i", document, "foo[a")
    assert ran.status == 1
    assert ran.err.splitlines()[1:] == ["  foo[a", "      ^"]


def test_an_unknown_key_is_an_error(document: Path) -> None:
    ran = pyvern("jp", "query", "-i", document, "metadata.nothing")
    assert (ran.status, ran.err) == (1, 'Error: `metadata.nothing`: Unknown key "nothing" in path\n')


def test_time_and_randomness_are_there() -> None:
    assert pyvern("jp", "query", "-u", "length(time_now())", stdin="{}").status == 0
    assert len(pyvern("jp", "query", "-u", "random('[a-z]{7}')", stdin="{}").out.splitlines()[1]) == 7


def test_faults_of_the_document_name_their_line(tmp_path: Path) -> None:
    file = tmp_path / "bad.yaml"
    file.write_text("a: 1\nb: [\n")
    ran = pyvern("jp", "query", "-i", file, "a")
    assert ran.status == 1
    assert ran.err.startswith(f"Error: {file}:")


def test_parse_prints_the_tree() -> None:
    assert pyvern("jp", "parse", "a.b.c | truncate(@, `9`)").out == PIPE


@pytest.mark.parametrize(
    "expression", ["a[?b=='c'].d[]", "a[1:2]", "{x: a, y: [b, c]}", "!a && b || c", "a.*.b", "sort_by(a, &b)"]
)
def test_every_kind_of_node_has_a_name(expression: str) -> None:
    ran = pyvern("jp", "parse", expression)
    assert ran.status == 0
    assert all(line.strip().startswith(("#", "AST", "value:", "children:", "}")) for line in ran.out.splitlines())


def test_functions_are_those_of_policies_unless_all_are_asked_for() -> None:
    shown = [line.removeprefix("Name: ") for line in pyvern("jp", "function").out.splitlines() if line.startswith("Name: ")]
    assert shown == sorted(name for name, function in FUNCTIONS.items() if not function.builtin)
    assert "Name: length" in pyvern("jp", "function", "--all").out
    assert pyvern("jp", "function", "length", "add").out.splitlines()[:2] == [
        "Name: length",
        f"  Signature: {FUNCTIONS['length'].signature('length')}",
    ]


def test_an_unknown_function_names_the_nearest() -> None:
    assert pyvern("jp", "function", "to_uper") == (1, "", "Error: unknown function `to_uper`, did you mean `to_upper`?\n")


def test_numbers_keep_what_they_are(document: Path) -> None:
    ran = pyvern("jp", "query", "-c", "@", stdin='{"big": 1234567, "small": 0.1, "e": 1e30}')
    assert json.loads(ran.out.splitlines()[1]) == {"big": 1234567, "small": 0.1, "e": 1e30}
