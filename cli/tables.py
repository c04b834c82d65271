"""Tables as Kyverno's command line draws them, and colours where a terminal shows them."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Sequence

COLOURS = {"Pass": "32", "Fail": "31", "Skip": "33", "Warn": "33", "Error": "31"}
_ESCAPES = re.compile(r"\x1b\[[0-9;]*m")


def colours_wanted() -> bool:
    """Only on a terminal whose user did not say otherwise (no-color.org)."""
    return sys.stdout.isatty() and "NO_COLOR" not in os.environ and os.environ.get("TERM") != "dumb"


def coloured(text: str, *, colours: bool) -> str:
    """A result's word in its colour."""
    code = COLOURS.get(text.partition(" ")[0])
    return f"\x1b[{code}m{text}\x1b[0m" if colours and code else text


def drawn(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """The lines of a table with one line per row; widths do not count colours."""
    widths = [max(_width(row[column]) for row in (header, *rows)) for column in range(len(header))]
    rule = "│" + "│".join("─" * (width + 2) for width in widths) + "│"
    lines = [rule, _line(header, widths), rule, *(_line(row, widths) for row in rows), rule]
    return "\n".join(lines) + "\n"


def aligned(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Columns without lines, as kubectl prints them."""
    widths = [max(_width(row[column]) for row in (header, *rows)) for column in range(len(header))]
    return "".join(f"{_padded(row, widths)}\n" for row in (header, *rows))


def _padded(row: Sequence[str], widths: Sequence[int]) -> str:
    return "   ".join(cell + " " * (width - _width(cell)) for cell, width in zip(row, widths, strict=True)).rstrip()


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    return "│" + "│".join(f" {cell}{' ' * (width - _width(cell))} " for cell, width in zip(cells, widths, strict=True)) + "│"


def _width(text: str) -> int:
    return len(_ESCAPES.sub("", text) if "\x1b" in text else text)
