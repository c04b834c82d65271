"""`pyvern schema`: JSON schemas (draft-07) of the policy kinds, for editors and other checkers."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping

import click

from cli.errors import UsageError


@click.command(name="schema", context_settings={"max_content_width": 120})
@click.argument("kinds", nargs=-1, metavar="[KIND]...")
@click.option("-o", "--output", "folder", metavar="FOLDER", default="", help="Write one file per kind into this folder.")
@click.option("-l", "--list", "listed", is_flag=True, help="List the kinds.")
def command(kinds: tuple[str, ...], folder: str, listed: bool) -> None:
    """Print or write JSON schemas of policies, exceptions, reports, and of the files of tests.

    \b
    pyvern schema ClusterPolicy > clusterpolicy.json
    pyvern schema -o schemas     # a file for each kind, and all.json that chooses by apiVersion and kind
    """
    from cli.schemas import KINDS, combined, schema_of

    if listed:
        for kind in KINDS:
            click.echo(kind)
        return
    by_name = {kind.lower(): kind for kind in KINDS}
    unknown = [kind for kind in kinds if kind.lower() not in by_name]
    if unknown:
        raise UsageError(f"`{unknown[0]}` is no kind with a schema, --list prints them")
    wanted = [by_name[kind.lower()] for kind in kinds] or list(KINDS)
    if folder:
        _write(folder, {f"{kind.lower()}.json": schema_of(kind) for kind in wanted} | {"all.json": combined(wanted)})
    else:
        json.dump(schema_of(wanted[0]) if len(wanted) == 1 else combined(wanted), sys.stdout, indent=2)
        click.echo()


def _write(folder: str, files: Mapping[str, object]) -> None:
    try:
        os.makedirs(folder, exist_ok=True)
        for name, document in files.items():
            with open(os.path.join(folder, name), "w", encoding="utf-8") as file:
                json.dump(document, file, separators=(",", ":"))
                file.write("\n")
    except OSError as error:
        raise UsageError(f"{error.filename or folder}: {(error.strerror or str(error)).lower()}") from None
    click.echo(f"wrote {len(files)} files to {folder}")
