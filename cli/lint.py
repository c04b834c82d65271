"""`pyvern lint`: what policies say that their authors did not mean, with the place in the file."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import TYPE_CHECKING

import click

from cli.errors import InputError, UsageError
from cli.flags import path_list

if TYPE_CHECKING:
    from rich.console import Console

    from cli.rbac import Missing
    from cli.yaml_load import Document
    from engine.lint import Finding

STYLES = {"error": "bold red", "warning": "yellow", "note": "cyan"}


@dataclass(frozen=True, slots=True)
class Located:
    """A finding with its place: line and column count from 1, 0 where they are not known; `source` is the line's text."""

    code: str
    level: str
    file: str
    line: int
    column: int
    path: str
    message: str
    help: str = ""
    source: str = ""


@click.command(name="lint", context_settings={"max_content_width": 120})
@click.argument("paths", nargs=-1, metavar="PATH...")
@click.option("-o", "--output", type=click.Choice(["text", "json", "sarif"]), default="text", show_default=True, help="Form.")
@click.option("--strict", is_flag=True, help="Warnings end with exit status 1 too.")
@click.option("--ignore", "ignored", metavar="CODE", callback=path_list, multiple=True, help="Leave out findings of a code.")
@click.option("--role", "roles", metavar="PATH", callback=path_list, multiple=True, help="ClusterRoles the controllers have too.")
@click.option("--rbac", is_flag=True, help="Print cluster roles with the rights that the policies lack, and nothing else.")
def command(
    paths: tuple[str, ...], output: str, strict: bool, ignored: tuple[str, ...], roles: tuple[str, ...], rbac: bool
) -> None:
    """Find faults in policies: unknown fields and functions, rules that never apply, old forms, missing rights.

    PATHS are files, folders or - for standard input; documents that are no policies are passed by.
    The exit status is 1 where there are errors.

    \b
    Codes: invalid, unknown-field, unknown-function, expression, unclosed, unreachable, deprecated, warning, permission
    """
    from cli.documents import load_paths
    from engine.lint import CODES, lintable

    if not paths:
        raise UsageError("require policy")
    unknown = [code for code in ignored if code not in CODES]
    if unknown:
        raise UsageError(f"--ignore: `{unknown[0]}` is no code, the codes are {', '.join(CODES)}")
    loaded = load_paths(paths, unique=True)
    documents = [document for document in loaded.documents if lintable(document.value)]
    lacking = _lacking(documents, roles)
    if rbac:
        _print_roles([right for _, rights in lacking for right in rights])
        return
    findings = [_unread(error) for error in loaded.errors]
    for document, rights in lacking:
        findings += sorted(_located(document, rights), key=lambda finding: (finding.line, finding.column))
    findings = [finding for finding in findings if finding.code not in ignored]
    PRINTERS[output](findings, len(documents))
    worst = {finding.level for finding in findings}
    if "error" in worst or (strict and "warning" in worst):
        sys.exit(1)


def _lacking(documents: Sequence[Document], roles: Iterable[str]) -> list[tuple[Document, list[Missing]]]:
    from cli.documents import load_paths
    from cli.rbac import SHIPPED, missing, rules_of_roles
    from engine.lint import needs_of

    granted = dict(SHIPPED)
    given = load_paths(roles)
    if given.errors:
        raise given.errors[0]
    for controller, rules in rules_of_roles([document.value for document in given.documents]).items():
        granted[controller] = (*granted.get(controller, ()), *rules)
    return [(document, missing(needs_of(document.value), granted=granted)) for document in documents]


def _print_roles(rights: list[Missing]) -> None:
    import yaml

    from cli.rbac import roles_for

    click.echo(yaml.safe_dump_all(roles_for(rights), sort_keys=False), nl=False)


def _located(document: Document, rights: Iterable[Missing]) -> Iterator[Located]:
    from engine.lint import Finding, lint

    lacked = [Finding("permission", right.path, str(right), help="see --rbac") for right in rights]
    for finding in [*lint(document.value, cluster_scoped=_cluster_scoped()), *lacked]:
        yield _at(document, finding)


@lru_cache(maxsize=1)
def _cluster_scoped() -> frozenset[str]:
    """The kinds that lie in no namespace in every group that has them."""
    from cli.kinds import BUILT_IN

    namespaced = {kind.kind for kind, resource in BUILT_IN.items() if resource.namespaced}
    return frozenset(kind.kind for kind in BUILT_IN) - namespaced


def _at(document: Document, finding: Finding) -> Located:
    from cli.positions import place_in, place_of

    if finding.offset is None:
        line, column = place_of(document, finding.path)
    else:
        line, column = place_in(document, finding.path, finding.offset)
    lines = document.text.splitlines()
    source = lines[line - document.line] if 0 <= line - document.line < len(lines) else ""
    return Located(finding.code, finding.level, document.file, line, column, finding.path, finding.message, finding.help, source)


def _unread(error: InputError) -> Located:
    return Located("invalid", "error", error.file, error.line, error.column, error.path, error.reason)


def _print_text(findings: Sequence[Located], documents: int) -> None:
    from rich.text import Text

    from cli.console import console

    printed = console()
    for finding in findings:
        _print_finding(printed, finding)
    counts = [
        f"{number} {level}{'' if number == 1 else 's'}"
        for level in STYLES
        if (number := sum(1 for finding in findings if finding.level == level))
    ]
    summary = ", ".join(counts) or "nothing to complain about"
    printed.print(Text(f"{documents} polic{'y' if documents == 1 else 'ies'}: {summary}", "bold"))


def _print_finding(printed: Console, finding: Located) -> None:
    from rich.text import Text

    place = ":".join(str(part) for part in (finding.file, finding.line, finding.column) if part)
    style = STYLES[finding.level]
    path = f"{finding.path}: " if finding.path else ""
    code = (f"[{finding.code}]", "dim")
    say = partial(printed.print, soft_wrap=True)  # lines that are cut would carry their carets elsewhere
    say(Text.assemble((f"{place}: ", "bold"), (f"{finding.level}: ", style), f"{path}{finding.message} ", code))
    if finding.source.strip() and finding.column:
        number = str(finding.line)
        blank = "".join("\t" if character == "\t" else " " for character in finding.source[: finding.column - 1])
        advice = f" {finding.help}" if finding.help else ""
        say(Text.assemble((f"  {number} | ", "dim"), finding.source))
        say(Text.assemble((f"  {' ' * len(number)} | ", "dim"), blank, (f"^{advice}", style)))
    elif finding.help:
        say(Text(f"    {finding.help}", style))


def _print_json(findings: Sequence[Located], _documents: int) -> None:
    import json
    from dataclasses import asdict

    click.echo(json.dumps([asdict(finding) for finding in findings], indent=2, ensure_ascii=False))


def _print_sarif(findings: Sequence[Located], _documents: int) -> None:
    from cli.formats import Place, SarifResult, SarifRule, sarif
    from engine.lint import CODES

    rules = {code: SarifRule(code, text, level) for code, (level, text) in CODES.items()}
    results = [
        SarifResult(
            rule=finding.code,
            level=finding.level,
            message=f"{finding.message}{f' ({finding.help})' if finding.help else ''}",
            place=Place(finding.file, finding.line, finding.column),
            logical=finding.path,
        )
        for finding in findings
    ]
    click.echo(sarif(rules.values(), results))


PRINTERS = {"text": _print_text, "json": _print_json, "sarif": _print_sarif}
