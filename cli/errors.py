"""What a user of the command line did or gave that cannot be used: where it stands, and why."""

from __future__ import annotations


class UsageError(Exception):
    """Arguments that do not go together, an input that is not there: ends the command."""


class InputError(Exception):
    """A fault in a file.

    `file` is the path as given, `line` and `column` count from 1 (0: not known), `path` is the place in the document
    (`spec.rules[0].name`, may be empty), `reason` one lower-case line that quotes the value.
    """

    def __init__(self, file: str, reason: str, *, line: int = 0, column: int = 0, path: str = "") -> None:
        self.file = file
        self.reason = reason
        self.line = line
        self.column = column
        self.path = path
        super().__init__(str(self))

    def __str__(self) -> str:
        place = self.file
        if self.line:
            place += f":{self.line}"
            if self.column:
                place += f":{self.column}"
        return f"{place}: {self.path}: {self.reason}" if self.path else f"{place}: {self.reason}"
