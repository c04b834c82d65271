"""`make shape`: where the code grows. Prints the ten longest modules and functions, and names files over 400 lines."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("engine", "controllers", "cli", "crds", "deploy", "perf", "tests")
SHOWN = 10
LIMIT = 400


def modules() -> dict[str, str]:
    """Path -> text of all Python files of ours."""
    files = [file for package in PACKAGES for file in sorted((ROOT / package).rglob("*.py"))]
    return {str(file.relative_to(ROOT)): file.read_text() for file in files}


def functions(path: str, text: str) -> Iterator[tuple[int, str]]:
    """(lines, name) of each function and method."""
    for node in ast.walk(ast.parse(text, path)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.end_lineno:
            yield node.end_lineno - node.lineno + 1, f"{path}:{node.lineno} {node.name}"


def main() -> None:
    texts = modules()
    lengths = sorted(((text.count("\n"), path) for path, text in texts.items()), reverse=True)
    longest = sorted((entry for path, text in texts.items() for entry in functions(path, text)), reverse=True)
    lines = ["longest modules", *(f"{count:6} {path}" for count, path in lengths[:SHOWN])]
    lines += ["longest functions", *(f"{count:6} {name}" for count, name in longest[:SHOWN])]
    long = [path for count, path in lengths if count > LIMIT]
    lines += [f"over {LIMIT} lines, which idea is hiding in there? {path}" for path in long]
    sys.stdout.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
