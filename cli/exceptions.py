"""`pyvern exceptions`: PolicyExceptions, when they end, and whether anything still needs them (docs/decisions/0015)."""

from __future__ import annotations

import sys

import click

from cli.errors import UsageError
from cli.flags import GoCommand, list_option


@click.command(name="exceptions", cls=GoCommand, context_settings={"max_content_width": 120})
@click.argument("files", nargs=-1)
@list_option("--reports", help="Report files that say what is used; without FILES the reports of the cluster do.")
@click.option("--kubeconfig", metavar="FILE", default="", help="Read this cluster; default: $KUBECONFIG or ~/.kube/config.")
@click.option("-n", "--namespace", metavar="NAME", default="", help="Only exceptions of this namespace.")
@click.option("--unused", is_flag=True, help="Only those that no report names.")
@click.option("--expired", is_flag=True, help="Only those that are over; with --unused: either.")
@click.option(
    "-o", "--output", type=click.Choice(["table", "json", "yaml"]), default="table", show_default=True, help="Form of the answer."
)
def command(
    files: tuple[str, ...],
    reports: tuple[str, ...],
    kubeconfig: str,
    namespace: str,
    unused: bool,
    expired: bool,
    output: str,
) -> None:
    """List the PolicyExceptions of a cluster, or of FILES: what they exempt, when they end, how many objects need them.

    The annotation `exceptions.pyvern.io/expires` (2026-12-31 or 2026-12-31T18:00:00Z) ends an exception. USED counts the rows of
    reports that name it, thus objects that exist now. `?` means that reports cannot tell: there are none, or the exception
    counts for requests only (spec.background false); the metric pyvern_exception_hits counts those. --unused leaves them out.

    Exit status: 0; 1 when an exception does not compile or something could not be read.
    """
    from cli.exception_use import listed, read
    from cli.exceptions_shown import WRITERS

    if files and unused and not reports:
        raise UsageError("--unused needs reports: say --reports FILE, or name no files to read the cluster")
    given = read(files, reports, kubeconfig)
    if unused and not given.reported:
        raise UsageError("there are no reports: whether an exception is used cannot be told")
    rows = [one for one in listed(given) if not namespace or one.namespace == namespace]
    if unused or expired:
        rows = [one for one in rows if (unused and one.used == 0) or (expired and one.expired)]
    click.echo(WRITERS[output](rows), nl=False)
    for problem in given.problems:
        click.echo(f"Error: {problem}", err=True)
    if given.problems or any(one.invalid for one in rows):
        sys.exit(1)
