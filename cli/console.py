"""Where rich prints: colours and widths on a terminal, plain and unwrapped anywhere else."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

NO_TERMINAL = 10_000
"""Columns where nobody looks: lines of a file or a log are not cut."""


def console() -> Console:
    """The console for standard output."""
    from rich.console import Console

    from cli.tables import colours_wanted

    wanted = colours_wanted()
    return Console(
        highlight=False,
        markup=False,
        emoji=False,
        soft_wrap=not wanted,
        no_color=not wanted,
        width=None if sys.stdout.isatty() else NO_TERMINAL,
    )
