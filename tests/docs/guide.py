"""Pages whose examples are run: files from titled code blocks, commands from console blocks, their output compared.

A heading of the second level starts with an empty folder. A block ```` ```yaml title="policy.yaml" ```` is written there; a
block ```` ```console ```` holds lines `$ pyvern …`, each followed by what it prints (standard output, then standard error).
`python -m tests.docs.guide` writes what the program prints now into the pages.
"""

from __future__ import annotations

import os
import re
import shlex
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from tests.cli.program import pyvern

DOCS = Path(__file__).resolve().parents[2] / "docs"
PAGES = ("policies.md", "impact.md")
_BLOCK = re.compile(r'^```(?P<kind>\w+)(?: title="(?P<title>[^"]+)")?\n(?P<body>.*?)^```$', re.MULTILINE | re.DOTALL)
_SECTION = re.compile(r"^(?=## )", re.MULTILINE)


class Example(NamedTuple):
    """A command of a page, with what the page says it prints and what it prints."""

    section: str
    command: str
    told: str
    printed: str


def sections(text: str) -> Iterator[tuple[str, str]]:
    """(heading, text) of each section; what stands before the first has an empty heading."""
    for part in _SECTION.split(text):
        heading = part.partition("\n")[0]
        yield (heading.removeprefix("## ") if heading.startswith("## ") else "", part)


def examples(text: str) -> Iterator[Example]:
    """Runs the examples of a page."""
    for heading, section in sections(text):
        with tempfile.TemporaryDirectory() as folder:
            for block in _BLOCK.finditer(section):
                if block["title"]:
                    file = Path(folder, block["title"])
                    file.parent.mkdir(parents=True, exist_ok=True)
                    file.write_text(block["body"])
                elif block["kind"] == "console":
                    for command, told in commands(block["body"]):
                        yield Example(heading, command, told, printed(command, folder))


def commands(body: str) -> Iterator[tuple[str, str]]:
    """(command, what it is said to print) of a console block."""
    for part in re.split(r"^\$ ", body, flags=re.MULTILINE)[1:]:
        command, _, told = part.partition("\n")
        yield command, told


def printed(command: str, folder: str) -> str:
    """What a command prints in a folder, without blanks at the ends of lines and empty lines around it."""
    program, *arguments = shlex.split(command)
    assert program == "pyvern", f"only pyvern is run, not `{command}`"
    before = Path.cwd()
    os.chdir(folder)
    try:
        ran = pyvern(*arguments)
    finally:
        os.chdir(before)
    lines = [line.rstrip() for line in (ran.out + ran.err).strip("\n").splitlines()]
    return "".join(f"{line}\n" for line in lines)


def renewed(text: str) -> str:
    """The page with what the commands print now."""
    found = iter(list(examples(text)))

    def block(match: re.Match[str]) -> str:
        if match["kind"] != "console":
            return match[0]
        bodies = [f"$ {command}\n{next(found).printed}" for command, _ in commands(match["body"])]
        return f"```console\n{''.join(bodies)}```"

    return _BLOCK.sub(block, text)


if __name__ == "__main__":
    for name in PAGES:
        page = DOCS / name
        page.write_text(renewed(page.read_text()))
        sys.stdout.write(f"{page}\n")
