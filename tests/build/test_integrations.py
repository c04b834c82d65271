"""The GitHub Action and the pre-commit hooks: what they run exists and works."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from cli.main import COMMANDS

ROOT = Path(__file__).resolve().parents[2]
ACTION: dict[str, Any] = yaml.safe_load((ROOT / "action.yml").read_text())
HOOKS: list[dict[str, Any]] = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text())
CHECK = ACTION["runs"]["steps"][-1]
POLICY = """apiVersion: kyverno.io/v1
kind: ClusterPolicy
metadata: {name: tags}
spec:
  rules:
    - name: tag
      match: {any: [{resources: {kinds: [Pod]}}]}
      validate: {message: tag it, pattern: {spec: {containers: [{image: "*:*"}]}}}
"""
POD = 'apiVersion: v1\nkind: Pod\nmetadata: {name: x}\nspec: {containers: [{name: a, image: "%s"}]}\n'


def checked(folder: Path, **inputs: str) -> subprocess.CompletedProcess[str]:
    """The action's last step, as a runner would run it in `folder`."""
    given = {name: inputs.get(name.replace("-", "_"), entry.get("default", "")) for name, entry in ACTION["inputs"].items()}
    used = {name: re.fullmatch(r"\$\{\{ inputs\.([\w-]+) \}\}", value) for name, value in CHECK["env"].items()}
    environment = {name: given[found[1]] for name, found in used.items() if found}
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    command = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", CHECK["run"]]
    return subprocess.run(
        command, cwd=folder, env={**os.environ, **environment, "PATH": path}, capture_output=True, text=True, check=False
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "policies").mkdir()
    (tmp_path / "policies/tags.yaml").write_text(POLICY)
    (tmp_path / "my manifests").mkdir()
    (tmp_path / "my manifests/pod.yaml").write_text(POD % "a:1")
    return tmp_path


def test_every_input_of_the_check_exists() -> None:
    used = set(re.findall(r"inputs\.([\w-]+)", (ROOT / "action.yml").read_text()))
    assert used == set(ACTION["inputs"])


def test_good_manifests_pass(folder: Path) -> None:
    done = checked(folder, policies="policies", resources="my manifests\n")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 policy: nothing to complain about" in done.stdout
    assert "pass: 1, fail: 0" in done.stdout


def test_a_violation_fails_and_leaves_its_results(folder: Path) -> None:
    (folder / "my manifests/pod.yaml").write_text(POD % "a")
    done = checked(folder, policies="policies", resources="my manifests", sarif="results.sarif", junit="results.xml")
    assert done.returncode == 1
    (run,) = json.loads((folder / "results.sarif").read_text())["runs"]
    assert [result["ruleId"] for result in run["results"]] == ["tags/tag"]
    assert 'failures="1"' in (folder / "results.xml").read_text()


def test_lint_alone(folder: Path) -> None:
    (folder / "policies/tags.yaml").write_text(POLICY.replace("message", "mesage"))
    assert checked(folder, policies="policies").returncode == 1
    assert checked(folder, policies="policies", lint="false").returncode == 0


@pytest.mark.parametrize("hook", HOOKS, ids=lambda hook: hook["id"])
def test_hooks_run_commands_that_exist(hook: dict[str, Any]) -> None:
    program, command = hook["entry"].split()
    assert (program, hook["language"]) == ("pyvern", "python")
    assert command in COMMANDS
