"""Standard input and output as the program uses them, whatever the caller left open."""

from __future__ import annotations

import contextlib
import os
import sys
from io import TextIOWrapper
from typing import TextIO

_STREAMS = (("stdin", os.O_RDONLY, "r"), ("stdout", os.O_WRONLY, "w"), ("stderr", os.O_WRONLY, "w"))


def use_streams() -> None:
    """Closed streams read as empty and swallow what is written; text goes out as UTF-8, whatever the locale says.

    As with programs in Go, and what no encoding can write is escaped: a name of a file must not end the program.
    """
    for number, (name, flags, mode) in enumerate(_STREAMS):
        if getattr(sys, name) is None:
            # INVARIANT (streams): numbers 0 to 2 are taken, or a file that is opened next gets one of them and the output
            _take(number, flags)
            setattr(sys, name, open(number, mode, encoding="utf-8", closefd=False))  # noqa: SIM115 - for as long as we run
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(encoding="utf-8", errors="backslashreplace")


def discard(stream: TextIO) -> None:
    """What is still to be written to the stream goes nowhere: its reader is gone or its disk is full."""
    with contextlib.suppress(OSError):  # a stream without a number has nothing that the interpreter flushes at its end
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)


def _take(number: int, flags: int) -> None:
    nowhere = os.open(os.devnull, flags)
    if nowhere != number:
        os.dup2(nowhere, number)
        os.close(nowhere)
