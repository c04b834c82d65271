"""YAML and JSON text to documents that know where they stand.

The exact reader (`engine.load_yaml`, sigs.k8s.io/yaml's types) decides what a text means and what is wrong with it.
rapidyaml reads the same value some twelve times faster from texts that keep clear of YAML's corners, which is what `_CORNERS`
looks for: anchors, tags, merge keys, YAML 1.1 words and numbers that JSON writes otherwise.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import orjson
import re2

from cli.errors import InputError

STDIN = "-"


class Document(NamedTuple):
    """One YAML document: its value, the file it is from, the line on which it starts there (from 1) and its text.

    For an item of a list `value` is the item, and `inside` says where in the text it stands (`items[3]`).
    """

    value: Any
    file: str
    line: int
    text: str
    inside: str = ""

    def path(self, path: str) -> str:
        """A path of the value as a path of the text."""
        return f"{self.inside}.{path}" if self.inside and path else self.inside or path


_MARKER = re.compile(r"^---(?=[ \t\r\n]|\Z)[^\n]*\n?|^\.\.\.[ \t\r]*(?:\n|\Z)", re.MULTILINE)
_EMPTY_MARKER = re.compile(r"---[ \t\r]*(?:#[^\n]*)?\n?\Z|\.\.\.")
_VALUE_START = r"(?:^[ ]*|[:\-?\[{,][ ]+|[\[{,])"
_END = r"[ ]*(?:$|[#,:\]}])"
_CORNERS = re2.compile(
    "(?m)"
    + "|".join(
        (
            r"[\x00-\x09\x0b-\x1f\x7f-\x{9f}\x{feff}\x{2028}\x{2029}\x{fffe}\x{ffff}]",
            r"(?:^[ ]*|[:\-?\[{,][ ]+)[^ \nA-Za-z0-9\"'\[{|>/._($<=#\-]",
            r"[\[{,][^ \nA-Za-z0-9\"'\[{\]}/._($<=\-]",
            _VALUE_START + r"(?:<<[ ]*:|\?[ ]|[|>](?:[^+\n-]|[+-][^\n]))",
            r":[ ]*[,\]}?]",
            r"^[|>]|[\[{](?:[^\n]*[ ]#|[^\]}\n]*$)",
            _VALUE_START
            + r"(?:~|[+-]?\.?(?i:nan|inf(?:inity)?)|Null|NULL|True|TRUE|False|FALSE|[yYnN]|(?i:yes|no|on|off))"
            + _END,
            _VALUE_START
            + r"(?:[+]|-?0[0-9xXoObB_]|-?\.[0-9_]|-?[0-9][0-9.]*(?:_|[eE][+-]?[0-9])|-?[0-9]+\.0*(?:$|[ ,:\]}])|-?[0-9]{16})",
            r"^[ ]*(?:null|true|false|-?[0-9][0-9.]*)[ ]*:",
            r"[\[{,][ ]*(?:null|true|false|-?[0-9][0-9.]*)[ ]*:",
            r"^[ ]*(?:-[ ]+)*-[ ]*$",
        )
    )
)
"""Texts for the exact reader. It may find too much, never too little: tests compare both readers.
RE2, because re takes thirty times as long."""


def read_text(path: str) -> str:
    """The text of a file, `-` is standard input. Raises `InputError`."""
    try:
        if path == STDIN:
            content = sys.stdin.buffer.read()
        else:
            with open(path, "rb") as file:
                content = file.read()
        return content.decode("utf-8-sig")
    except OSError as error:
        raise InputError(path, (error.strerror or str(error)).lower()) from None
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise InputError(path, f"byte {error.start} is no UTF-8", line=line) from None
    except ValueError as error:
        raise InputError(path, str(error)) from None


def load_file(path: str, *, unique: bool = False) -> tuple[list[Document], list[InputError]]:
    """The documents of a file, and what was wrong with the others. Empty documents are left out."""
    try:
        return load_text(read_text(path), path, unique=unique)
    except InputError as error:
        return [], [error]


def load_text(text: str, file: str, *, unique: bool = False) -> tuple[list[Document], list[InputError]]:
    """The same of a text; `unique`: a key that comes twice is an error."""
    documents: list[Document] = []
    errors: list[InputError] = []
    with _fast_reader() as fast:
        for line, part in split(text):
            try:
                value = _value(part, fast, unique=unique)
            except _Fault as fault:
                at = fault.line + line - 1 if fault.line else line
                errors.append(InputError(file, fault.reason, line=at, column=fault.column))
                continue
            if value is not None:
                documents.append(Document(value, file, line, part))
    return documents, errors


def split(text: str) -> Iterator[tuple[int, str]]:
    """(first line, text) of every document: YAML allows the marker `---` at the start of a line nowhere else."""
    start, line = 0, 1
    for marker in _MARKER.finditer(text):
        part = text[start : marker.start()]
        if part.strip():
            yield line, part
        line += part.count("\n")
        start = marker.start()
        if _EMPTY_MARKER.match(marker[0]):
            start = marker.end()
            line += marker[0].count("\n")
    part = text[start:]
    if part.strip():
        yield line, part


class _Fault(Exception):
    def __init__(self, reason: str, line: int = 0, column: int = 0) -> None:
        super().__init__(reason)
        self.reason = reason
        self.line = line
        self.column = column


def _value(text: str, fast: Any, *, unique: bool) -> Any:
    first = text.lstrip()[:1]
    if first in ("{", "["):
        try:
            return _unique_json(text) if unique else orjson.loads(text)
        except ValueError:
            pass  # a YAML flow mapping, or JSON with a fault that the exact reader names
    ends = text.endswith("\n") or not ("|" in text or ">" in text)  # at the end of a text a block without line end has none
    if ends and not text.startswith(("---", "%")) and _CORNERS.search(text) is None:
        try:
            written = fast(text)
            return None if written is None else _unique_json(written) if unique else orjson.loads(written)
        except (_NotFast, ValueError):
            pass  # the exact reader says what is wrong, or that nothing is
    return _exact(text, unique=unique)


def _exact(text: str, *, unique: bool) -> Any:
    from engine import InvalidYAML, load_yaml

    try:
        return load_yaml(text, unique=unique)
    except InvalidYAML as error:
        raise _Fault(error.reason, error.line, error.column) from None


def _unique_json(text: str) -> Any:
    import json

    def members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):
            raise ValueError("a key is given twice")
        return found

    return json.loads(text, object_pairs_hook=members)


class _NotFast(Exception):
    pass


@contextmanager
def _fast_reader() -> Iterator[Any]:
    """rapidyaml as a function from text to JSON text. What it prints about faults goes nowhere: the exact reader reports them."""
    import ryml

    def read(text: str) -> str | None:
        try:
            written: str | None = ryml.emit_json(ryml.parse_in_arena(text.encode()))
        except (RuntimeError, ryml.ExceptionBasic) as error:
            raise _NotFast from error
        return written

    sys.stderr.flush()
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield read
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)
