"""Kyverno's own CLI tests, and what its `apply` reports for the same files (shared/conformance/README.md, "Offline data")."""

from __future__ import annotations

import collections
import importlib.util
import json
import os
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from tests.cli.program import pyvern
from tests.conformance.oracle import Case, conformance_dir, score

GROUPS = ("kyverno.io", "vap")
"""Tests of rules and of native admission policies."""
COUNTS = ("pass", "fail", "warn", "error", "skip")
FLAGS = {
    "resources": "-r",
    "exceptions": "-e",
    "values-file": "-f",
    "userinfo": "-u",
    "context-file": "--context-file",
    "set": "-s",
    "crd-paths": "--crd-paths",
    "json": "--json",
    "http-payload": "--http-payload",
    "envoy-payload": "--envoy-payload",
}
"""Argument of apply-cases.json -> flag."""


@cache
def runner() -> Any:
    """The program that scores command lines: it knows which tests there are, and which arguments say the same as a test."""
    file = conformance_dir() / "run_cli.py"
    spec = importlib.util.spec_from_file_location("run_cli", file)
    if spec is None or spec.loader is None or not file.is_file():
        pytest.skip(f"no such program: {file}")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def folders() -> Iterator[tuple[str, Path]]:
    """(name, folder) of every test."""
    data = conformance_dir() / "data"
    for folder, group in runner().discover(data):
        if group in GROUPS:
            yield str(folder.relative_to(data)), folder


@pytest.fixture(autouse=True)
def _back_again() -> Iterator[None]:
    here = Path.cwd()
    yield
    os.chdir(here)


def test_the_tests_of_kyverno_pass() -> None:
    def difference(case: Case) -> str | None:
        os.chdir(case["folder"])
        ran = pyvern("test", ".", "--fail-only", "--detailed-results")
        return None if ran.status == 0 else " ".join((ran.err or ran.out).split())[-300:]

    score("cli-test", ({"id": name, "folder": folder} for name, folder in folders()), difference)


def test_apply_reports_what_kyverno_reports() -> None:
    golden = json.loads((conformance_dir() / "peer-apply.json").read_bytes())

    def difference(case: Case) -> str | None:
        os.chdir(case["folder"])
        ran = pyvern(*runner().apply_arguments(case["folder"]))
        rows, wanted = runner().report_rows(ran.out), golden[case["id"]]
        if wanted and wanted[0][-1].startswith("sha256:"):
            rows = [runner().digest(row) for row in rows]
        want, got = collections.Counter(map(tuple, wanted)), collections.Counter(rows)
        missing, extra = list((want - got).elements()), list((got - want).elements())
        return f"missing {missing[:2]}, not wanted {extra[:2]}; {ran.err[-200:]}" if missing or extra else None

    score("cli-apply", ({"id": name, "folder": folder} for name, folder in folders() if name in golden), difference)


def test_apply_counts_what_kyverno_counts() -> None:
    file = conformance_dir() / "data" / "apply-cases.json"
    cases = [case for case in json.loads(file.read_bytes()) if not case["uses-git-url"]]
    seen: dict[str, int] = {}
    for case in cases:
        number = seen[case["unit"]] = seen.get(case["unit"], 0) + 1
        case["id"] = f"{case['unit']}#{number}"

    def difference(case: Case) -> str | None:
        os.chdir(conformance_dir() / "data" / "kyverno")
        ran = pyvern(*apply_arguments(case), "-p", "--output-format", "json")
        document = runner().report_document(ran.out)
        counted = document.get("summary")
        wanted = {name: case["expect"].get(name, 0) for name in COUNTS}
        return None if counted == wanted else f"want {wanted}, got {counted}: {ran.err[-200:]}"

    score("apply-cases", cases, difference)


def apply_arguments(case: Case) -> list[str]:
    arguments = ["apply", *case["args"]["policies"]]
    for name, flag in FLAGS.items():
        values = case["args"].get(name) or []
        for value in values if isinstance(values, list) else [values]:
            arguments += [flag, value]
    return arguments + [f"--{flag}" for flag in case["flags"] if flag != "policy-report"]
