"""Recorded answers as test data: the cases of a file, the known differences, and the comparison of both.

The data is not part of this repository: CONFORMANCE_DIR names the folder, `../shared/conformance` beside the repository is the
default. Known differences stand in known_gaps.toml, one table per file, case id -> reason.
"""

from __future__ import annotations

import json
import os
import tomllib
from collections.abc import Callable, Iterable
from functools import cache
from pathlib import Path
from typing import Any

import pytest

Case = dict[str, Any]

HERE = Path(__file__).resolve().parent
GAPS = HERE / "known_gaps.toml"
SHOWN = 30


def conformance_dir() -> Path:
    """The folder with the conformance data; skips the running test where there is none."""
    folder = Path(os.environ.get("CONFORMANCE_DIR") or HERE.parents[1] / ".." / "shared" / "conformance").resolve()
    if not folder.is_dir():
        pytest.skip(f"no conformance data in {folder} (set CONFORMANCE_DIR)")
    return folder


def cases(name: str) -> list[Case]:
    """The cases of `oracle/<name>.json`, each a dict with `id`; skips the running test where the file is absent."""
    file = conformance_dir() / "oracle" / f"{name}.json"
    if not file.is_file():
        pytest.skip(f"no such recording: {file}")
    loaded: list[Case] = json.loads(file.read_bytes())
    return loaded


@cache
def _all_gaps() -> dict[str, dict[str, str]]:
    return tomllib.loads(GAPS.read_text()) if GAPS.is_file() else {}


def gaps(name: str) -> dict[str, str]:
    """Known differences of table `name` in known_gaps.toml: case id -> reason."""
    return dict(_all_gaps().get(name, {}))


def score(name: str, found: Iterable[Case], difference: Callable[[Case], str | None]) -> None:
    """Fails the test unless exactly the known gaps differ.

    `difference(case)` is None where the answer agrees and one line otherwise; what it raises is a difference too. Prints
    the score (`pytest -s`, or the captured output of a failed test).
    """
    differing: dict[str, str] = {}
    total = 0
    for case in found:
        total += 1
        try:
            text = difference(case)
        except Exception as error:  # noqa: BLE001 - one broken case must not hide the others
            text = f"raised {type(error).__name__}: {error}"
        if text is not None:
            differing[case["id"]] = text
    known = gaps(name)
    agree = total - len(differing)
    print(f"{name}: {agree} of {total} ({agree / max(total, 1):.2%}), {len(known)} known gaps")  # noqa: T201
    unexpected = [f"  {id_}: {text}" for id_, text in differing.items() if id_ not in known]
    closed = [f"  {id_}: {reason}" for id_, reason in known.items() if id_ not in differing]
    problems = []
    if unexpected:
        problems += [f"{len(unexpected)} unexpected differences:", *unexpected[:SHOWN]]
    if closed:
        problems += [f"{len(closed)} known gaps that agree now (or have no case any more), remove them:", *closed[:SHOWN]]
    assert not problems, "\n".join([f"{name}: {agree} of {total}", *problems])
