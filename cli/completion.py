"""`pyvern completion SHELL`: the script that makes a shell complete commands and flags."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

SHELLS = ("bash", "fish", "zsh")
PROGRAM = "pyvern"
VARIABLE = "_PYVERN_COMPLETE"


@click.command(name="completion")
@click.argument("shell", type=click.Choice(SHELLS))
def command(shell: str) -> None:
    """Print a completion script, for example: source <(pyvern completion bash)."""
    root = click.get_current_context().find_root().command
    found = get_completion_class(shell)
    if found is None:  # the argument's type lets only known shells through
        raise click.UsageError(f"no completion for `{shell}`")
    click.echo(found(root, {}, PROGRAM, VARIABLE).source())
