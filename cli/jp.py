"""`pyvern jp`: JMESPath as policies speak it, by hand (features.md 5.3)."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import click

from cli.errors import InputError, UsageError
from cli.flags import path_list
from cli.yaml_load import STDIN, load_text, read_text

Ast = dict[str, Any]


@click.group(name="jp", context_settings={"max_content_width": 120})
def command() -> None:
    """JMESPath with the functions of policies: evaluate, parse, list functions."""


@command.command(name="query")
@click.argument("queries", metavar="[EXPRESSION]...", nargs=-1)
@click.option("-i", "--input", "source", metavar="FILE", default="", help="JSON or YAML file to read instead of standard input.")
@click.option("-q", "--query", "files", metavar="FILE", callback=path_list, multiple=True, help="File with an expression.")
@click.option("-c", "--compact", is_flag=True, help="JSON on one line.")
@click.option("-u", "--unquoted", is_flag=True, help="A result that is a string is printed as it is.")
def query(queries: tuple[str, ...], source: str, files: tuple[str, ...], compact: bool, unquoted: bool) -> None:
    """Evaluate expressions on a document.

    Standard input gives what is missing: the document, or with --input the expression.
    """
    texts = [*(read_text(file).strip() for file in files), *queries]
    if not texts and not source:
        raise UsageError("at least one query or input object is required")
    if not texts:
        texts = [_asked("Enter a query and hit Ctrl+D.").strip()]
    text, name = (read_text(source), source) if source else (_asked("Enter the input object and hit Ctrl+D."), STDIN)
    document = _document(text, name)
    for expression in texts:
        found = _evaluated(expression, document)
        click.echo(f"# {expression}")
        click.echo(found if unquoted and isinstance(found, str) else _json(found, compact=compact))


@command.command(name="parse")
@click.argument("expressions", metavar="[EXPRESSION]...", nargs=-1)
@click.option("-f", "--file", "files", metavar="FILE", callback=path_list, multiple=True, help="File with an expression.")
def parse(expressions: tuple[str, ...], files: tuple[str, ...]) -> None:
    """Print the syntax tree of expressions, from standard input where none is given."""
    texts = [*(read_text(file).strip() for file in files), *expressions]
    for text in texts or [_asked("Enter an expression and hit Ctrl+D.").strip()]:
        ast = _compiled(text).ast
        click.echo(f"# {text}")
        click.echo("".join(f"{line}\n" for line in tree(_as_go(ast))), nl=False)


@command.command(name="function")
@click.argument("names", metavar="[NAME]...", nargs=-1)
@click.option("-a", "--all", "everything", is_flag=True, help="Show the functions of plain JMESPath too.")
def function(names: tuple[str, ...], everything: bool) -> None:
    """Describe functions: those of policies, or the named ones."""
    from engine.lang.jmes import FUNCTIONS

    unknown = [name for name in names if name not in FUNCTIONS]
    if unknown:
        raise UsageError(f"unknown function `{unknown[0]}`{_near(unknown[0], FUNCTIONS)}")
    for name in names or sorted(FUNCTIONS):
        entry = FUNCTIONS[name]
        if names or everything or not entry.builtin:
            click.echo(f"Name: {name}\n  Signature: {entry.signature(name)}\n  Note:      {entry.note}\n")


def _near(name: str, known: Iterable[str]) -> str:
    import difflib

    near = difflib.get_close_matches(name, known, 1)
    return f", did you mean `{near[0]}`?" if near else ""


def _asked(prompt: str) -> str:
    if sys.stdin.isatty():
        click.echo(f"Reading from terminal input.\n{prompt}", err=True)
    return read_text(STDIN)


def _document(text: str, name: str) -> Any:
    documents, errors = load_text(text, name)
    if errors:
        raise errors[0]
    if len(documents) > 1:
        raise InputError(name, "one document is expected, here starts another", line=documents[1].line)
    return documents[0].value if documents else None


def _compiled(expression: str) -> Any:
    from engine.lang.errors import ExpressionSyntaxError
    from engine.lang.jmes import compile_expression

    try:
        return compile_expression(expression)
    except ExpressionSyntaxError as error:
        raise UsageError(_pointed(expression, error.reason, error.offset)) from None


def _pointed(expression: str, reason: str, offset: int | None) -> str:
    """The reason, with the expression and a caret under the fault."""
    if offset is None or "\n" in expression:
        return f"`{expression}`: {reason}"
    return f"{reason}\n  {expression}\n  {' ' * offset}^"


def _evaluated(expression: str, document: Any) -> Any:
    import time

    from engine.lang.errors import ExpressionError
    from engine.lang.jmes import Document

    compiled = _compiled(expression)
    try:
        return compiled(Document(document, now=time.time_ns(), seed=time.time_ns()))
    except ExpressionError as error:
        raise UsageError(f"`{expression}`: {error}") from None


def _json(value: Any, *, compact: bool) -> str:
    """Go's JSON: sorted keys, and indented as its MarshalIndent does."""
    import json

    from engine.lang import go_json

    written = go_json.dumps(value)
    return written if compact else _indented(json.loads(written, parse_float=_Written, parse_int=_Written), "")


class _Written(str):
    """A number as it was written."""


def _indented(value: Any, margin: str) -> str:
    from engine.lang import go_json

    inner = f"{margin}  "
    if isinstance(value, _Written):
        return str(value)
    if isinstance(value, dict) and value:
        members = (f"{inner}{go_json.dumps(key)}: {_indented(member, inner)}" for key, member in value.items())
        return "{\n" + ",\n".join(members) + f"\n{margin}}}"
    if isinstance(value, list) and value:
        return "[\n" + ",\n".join(inner + _indented(member, inner) for member in value) + f"\n{margin}]"
    return go_json.dumps(value)


_GO_NAMES = {
    "and_expression": "ASTAndExpression",
    "comparator": "ASTComparator",
    "current": "ASTCurrentNode",
    "expref": "ASTExpRef",
    "field": "ASTField",
    "filter_projection": "ASTFilterProjection",
    "flatten": "ASTFlatten",
    "function_expression": "ASTFunctionExpression",
    "identity": "ASTIdentity",
    "index": "ASTIndex",
    "index_expression": "ASTIndexExpression",
    "key_val_pair": "ASTKeyValPair",
    "literal": "ASTLiteral",
    "multi_select_dict": "ASTMultiSelectHash",
    "multi_select_list": "ASTMultiSelectList",
    "not_expression": "ASTNotExpression",
    "or_expression": "ASTOrExpression",
    "pipe": "ASTPipe",
    "projection": "ASTProjection",
    "slice": "ASTSlice",
    "subexpression": "ASTSubexpression",
    "value_projection": "ASTValueProjection",
}
"""The nodes as the Go package names them, which is what `jp parse` shows."""
_TOKENS = {"eq": "tEQ", "ne": "tNE", "lt": "tLT", "lte": "tLTE", "gt": "tGT", "gte": "tGTE"}


def _as_go(ast: Ast) -> Ast:
    """The tree with chains of two: `a.b.c` is `(a.b).c`."""
    children = [_as_go(child) if isinstance(child, dict) else child for child in ast["children"]]
    if ast["type"] in ("subexpression", "index_expression"):
        while len(children) > 2:
            children[:2] = [{**ast, "children": children[:2]}]
    return {**ast, "children": children}


def tree(ast: Ast, margin: str = "") -> Iterator[str]:
    """The lines of a node; its list of children has no closing brace of its own, as in the Go package."""
    yield f"{margin}{_GO_NAMES[ast['type']]} {{"
    children = ast["children"]
    if ast["type"] == "slice":
        yield f"{margin}  value: [{':'.join('' if part is None else str(part) for part in children)}]"
        children = []
    elif "value" in ast:
        yield f"{margin}  value: {_VALUES.get(ast['type'], _quoted)(ast['value'])}"
    if children:
        yield f"{margin}  children: {{"
        for child in children:
            yield from tree(child, f"{margin}    ")
    yield f"{margin}}}"


def _quoted(value: Any) -> str:
    import json

    return json.dumps(value, ensure_ascii=False)


_VALUES: dict[str, Callable[[Any], str]] = {"comparator": lambda value: _TOKENS[value]}
