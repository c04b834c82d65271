"""The program under callers that close, fill or break its standard streams."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.program import pyvern

POLICY = """
apiVersion: kyverno.io/v1
kind: ClusterPolicy
metadata: {name: p}
spec:
  rules:
  - name: r
    match: {any: [{resources: {kinds: [Pod]}}]}
    validate: {message: "naïve 🎉", deny: {}}
"""
POD = "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\n"
PROGRAM = f"{sys.executable} -m cli.main"


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).resolve().parents[2]))
    monkeypatch.chdir(tmp_path)
    Path("policy.yaml").write_text(POLICY)
    Path("pod.yaml").write_text(POD)


def shell(command: str, **environment: str) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, **environment}
    return subprocess.run(["sh", "-c", command], env=env, capture_output=True, encoding="utf-8", check=False, timeout=120)


def test_closed_streams_change_neither_the_status_nor_the_rest() -> None:
    ran = shell(f"{PROGRAM} apply policy.yaml -r pod.yaml -t 2>&-")
    assert (ran.returncode, ran.stderr) == (1, "")
    assert "│ 1  │ p" in ran.stdout
    ran = shell(f"{PROGRAM} apply policy.yaml -r pod.yaml >&- <&-")
    assert (ran.returncode, ran.stderr) == (1, "Error: exit as there are policy violations\n")
    ran = shell(f"{PROGRAM} apply policy.yaml -r - <&-")
    assert (ran.returncode, ran.stderr) == (0, "")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no device that is always full")
@pytest.mark.parametrize("command", ["apply policy.yaml -r pod.yaml", "schema ClusterPolicy", "version"])
def test_output_that_cannot_be_written_is_an_error(command: str) -> None:
    ran = shell(f"{PROGRAM} {command} >/dev/full")
    assert ran.returncode == 1
    assert ran.stderr.endswith("Error: output: no space left on device\n")
    assert "Traceback" not in ran.stderr


def test_output_is_utf_8_whatever_the_locale_says() -> None:
    plain = {"LC_ALL": "POSIX", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}
    assert "1 - r naïve 🎉\n" in shell(f"{PROGRAM} apply policy.yaml -r pod.yaml", **plain).stdout


def test_a_file_name_that_is_no_text_can_be_reported() -> None:
    name = b"b\xffd.yaml"
    Path(os.fsdecode(name)).write_text("- 1\n")
    ran = shell(f"{PROGRAM} apply policy.yaml -r b*d.yaml")
    assert "d.yaml:1:1: must be a map, got `[1]`" in ran.stderr
    assert "Traceback" not in ran.stderr


def test_a_reader_that_leaves_ends_the_program_without_a_word() -> None:
    ran = shell(f"{PROGRAM} schema ClusterPolicy | head -n 1")
    assert (ran.stdout, ran.stderr) == ("{\n", "")


def test_no_command_shows_the_help_and_a_wrong_one_where_it_is() -> None:
    for arguments in ((), ("jp",), ("create",)):
        ran = pyvern(*arguments)
        assert (ran.status, ran.err) == (0, "")
        assert ran.out.startswith("Usage: pyvern")
    assert pyvern("apply", "--bogus").err == "Error: No such option '--bogus'.\nSee `pyvern apply --help`.\n"
