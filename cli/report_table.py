"""`pyvern report`: what policy reports say, as tables in the terminal or as an HTML page."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from cli.errors import UsageError
from cli.report_read import RESULTS, Finding, from_cluster, from_files
from cli.report_totals import totals, worst_first

STYLES = {"fail": "red", "warn": "yellow", "error": "magenta", "skip": "dim", "pass": "green"}


@click.command(name="report")
@click.argument("files", nargs=-1)
@click.option("--kubeconfig", default="", help="Read the reports of this cluster; default: $KUBECONFIG or ~/.kube/config.")
@click.option("-n", "--namespace", default="", help="Only objects of this namespace.")
@click.option("--policy", default="", help="Only this policy.")
@click.option("--result", "results", multiple=True, type=click.Choice(RESULTS), help="List these; default: fail, warn, error.")
@click.option("--html", "page", type=click.Path(dir_okay=False, path_type=Path), help="Write a page to this file instead.")
@click.option("--title", default="Policy report", help="Title of the page.")
def command(
    files: Sequence[str], kubeconfig: str, namespace: str, policy: str, results: Sequence[str], page: Path | None, title: str
) -> None:
    """Show the policy reports of a cluster, or of FILES that `kubectl get polr,cpolr -A -o yaml` made."""
    found = from_files(files) if files else from_cluster(kubeconfig)
    found = [
        finding
        for finding in found
        if (not namespace or finding.namespace == namespace) and (not policy or finding.policy == policy)
    ]
    if page is not None:
        _write(page, found, title)
        click.echo(f"{len(found)} results written to {page}")
        return
    if not found:
        click.echo("no results")
        return
    _show(found, [finding for finding in found if finding.result in (results or RESULTS[:3])])


def _write(file: Path, findings: Sequence[Finding], title: str) -> None:
    import datetime

    from cli.report_page import page

    try:
        file.write_text(page(findings, title=title, made=datetime.datetime.now(datetime.UTC)), encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{file}: {error.strerror}") from error


def _show(findings: Sequence[Finding], listed: Sequence[Finding]) -> None:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    from cli.console import console

    out = console()
    counts = Table("POLICY", box=box.SIMPLE, show_edge=False)
    for name in RESULTS:
        counts.add_column(name.upper(), justify="right")
    for total in totals(findings, "policy"):
        cells = (
            Text(str(count), style=STYLES[name] if count else "dim") for name, count in zip(RESULTS, total.counts, strict=True)
        )
        counts.add_row(Text(_plain(total.name)), *cells)
    out.print(counts)
    if not listed:
        return
    out.print()
    rows = Table("RESULT", "SEVERITY", "OBJECT", "POLICY/RULE", "MESSAGE", box=box.SIMPLE, show_edge=False)
    for finding in worst_first(listed):
        rows.add_row(
            Text(finding.result, style=STYLES[finding.result]),
            Text(_plain(finding.severity)),
            Text(_plain(f"{finding.kind} {finding.object}")),
            Text(_plain(f"{finding.policy}/{finding.rule}")),
            Text(_plain(finding.message)),
        )
    out.print(rows)


def _plain(text: str) -> str:
    """One line that does nothing to a terminal: whoever may create objects has a say in messages."""
    return "".join(character if character.isprintable() else "\ufffd" for character in " ".join(text.split()))
