"""The command line as a user runs it: arguments in; exit status and texts out."""

from __future__ import annotations

import contextlib
import io
import sys
from typing import NamedTuple

from cli.main import main


class Ran(NamedTuple):
    """What a run of the program left behind."""

    status: int
    out: str
    err: str


def pyvern(*arguments: object, stdin: str = "") -> Ran:
    """Runs the program in this process; nothing of it is a terminal."""
    out, err = io.StringIO(), io.StringIO()
    given = sys.stdin
    sys.stdin = io.TextIOWrapper(io.BytesIO(stdin.encode()), "utf-8")
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            main([str(argument) for argument in arguments])
        status = 0
    except SystemExit as ended:
        status = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    finally:
        sys.stdin = given
    return Ran(status, out.getvalue(), err.getvalue())
