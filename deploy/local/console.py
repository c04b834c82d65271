"""What the user sees: progress lines, and the one line that says why it cannot go on."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TextIO

Say = Callable[[str], None]


class Blocked(Exception):
    """Work cannot go on until the user does something. `problem` and `remedy` are written for the user."""

    def __init__(self, problem: str, remedy: str, *, detail: str = "") -> None:
        super().__init__(f"{problem}: {remedy}" + (f"\n{detail}" if detail else ""))
        self.problem = problem
        self.remedy = remedy
        self.detail = detail


def say(text: str) -> None:
    print(text, flush=True)


def silent(_: str) -> None:
    """Say nothing."""


@contextmanager
def step(name: str, *, to: Say = say) -> Iterator[None]:
    """One progress line for what happens inside: its name, and how long it took."""
    started = time.monotonic()
    yield
    to(f"  {name:<28} {time.monotonic() - started:5.1f} s")


class Ticker:
    """A line that grows old: rewritten in place on a terminal, repeated every 15 seconds elsewhere."""

    PERIOD = 15.0

    def __init__(self, stream: TextIO = sys.stdout) -> None:
        self._stream = stream
        self._terminal = stream.isatty()
        self._last = 0.0

    def show(self, text: str) -> None:
        if self._terminal:
            self._stream.write(f"\r\x1b[K{text}")
        elif time.monotonic() - self._last >= self.PERIOD:
            self._last = time.monotonic()
            self._stream.write(f"{text}\n")
        self._stream.flush()

    def done(self) -> None:
        if self._terminal:
            self._stream.write("\r\x1b[K")
            self._stream.flush()
