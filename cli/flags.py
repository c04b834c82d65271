"""Flags as Go's command lines read them: a list may be given by repeating the flag, or with commas."""

from __future__ import annotations

import click


def path_list(_context: click.Context, _parameter: click.Parameter, value: tuple[str, ...]) -> tuple[str, ...]:
    """`-r a,b -r c` is a, b and c."""
    return tuple(part for item in value for part in item.split(",") if part)
