"""docs/cli.md is what the program says of itself."""

from __future__ import annotations

from pathlib import Path

from cli.docs import reference
from cli.main import COMMANDS
from tests.cli.program import pyvern

PAGE = Path(__file__).resolve().parents[2] / "docs/cli.md"


def test_the_reference_is_up_to_date() -> None:
    assert PAGE.read_text() == reference(), "out of date: run `pyvern docs -o docs/cli.md`"


def test_every_command_is_in_it() -> None:
    text = reference()
    assert all(f"\n## pyvern {name}\n" in text for name in COMMANDS)


def test_every_command_explains_itself() -> None:
    for name in COMMANDS:
        ran = pyvern(name, "--help")
        assert (ran.status, ran.err) == (0, "")
        assert ran.out.startswith(f"Usage: pyvern {name}")


def test_it_can_be_written_to_a_file(tmp_path: Path) -> None:
    assert pyvern("docs", "-o", tmp_path / "cli.md").out == ""
    assert (tmp_path / "cli.md").read_text() == pyvern("docs").out
