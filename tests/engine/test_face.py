"""The engine's face: what type checkers see is what there is."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import engine


def test_every_name_is_typed_and_has_a_home() -> None:
    tree = ast.parse(Path(engine.__file__).read_text())
    typed = {
        alias.asname or alias.name: (node.module, alias.name)
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and str(node.module).startswith("engine.")
        for alias in node.names
    }
    assert typed == engine._HOMES
    assert sorted(typed) == sorted(engine.__all__)
    assert all(getattr(engine, name) is not None for name in engine.__all__)


def test_asking_for_the_face_loads_nothing_behind_it() -> None:
    program = "import engine, sys; print([name for name in sys.modules if name.startswith('engine.')])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
