"""`pyvern version`."""

from __future__ import annotations

import click


@click.command(name="version")
@click.option("-o", "--output", type=click.Choice(["text", "json", "yaml"]), default="text", help="Form of the answer.")
def command(output: str) -> None:
    """Print the version."""
    from importlib.metadata import version

    found = {"version": version("pyvern")}
    if output == "json":
        import json

        click.echo(json.dumps(found))
    elif output == "yaml":
        click.echo(f"version: {found['version']}")
    else:
        click.echo(f"Version: {found['version']}")
