"""The Makefile: what a newcomer can ask for."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
MAKEFILE = (ROOT / "Makefile").read_text()
TARGETS = re.findall(r"^([a-z-]+):", MAKEFILE, re.MULTILINE)
PROMISED = ("setup", "demo", "up", "down", "test", "test-slow", "fuzz", "lint", "shape", "golden", "conformance", "perf", "help")


def make(*arguments: str, **environment: str) -> str:
    command = ["make", "-C", str(ROOT), "--no-print-directory", *arguments]
    path = {"PATH": "/usr/local/bin:/usr/bin:/bin", **environment}
    return subprocess.run(command, capture_output=True, text=True, check=True, env=path).stdout


@pytest.mark.parametrize("target", PROMISED)
def test_the_promised_targets_exist(target: str) -> None:
    assert target in TARGETS


@pytest.mark.parametrize("target", TARGETS)
def test_help_says_what_each_target_does(target: str) -> None:
    assert re.search(rf"^  {target} +\S+", make("help"), re.MULTILINE)


def test_no_target_can_be_taken_for_a_file() -> None:
    (phony,) = re.findall(r"^\.PHONY: (.*)$", MAKEFILE, re.MULTILINE)
    assert sorted(phony.split()) == sorted(TARGETS)


def test_an_exported_kubeconfig_does_not_choose_the_cluster() -> None:
    assert "--kubeconfig" not in make("-n", "up", KUBECONFIG="/somewhere")
    assert "--kubeconfig /somewhere" in make("-n", "up", "KUBECONFIG=/somewhere")


@pytest.mark.parametrize("name", ["requirements.lock", "requirements-dev.lock"])
def test_every_locked_package_has_a_hash_and_no_place(name: str) -> None:
    text = (ROOT / name).read_text()
    packages = re.findall(r"^([a-z0-9_.-]+)==(\S+) \\\n    --hash=sha256:", text, re.MULTILINE)
    assert len(packages) == len(re.findall(r"^[a-z0-9]", text, re.MULTILINE)) > 30
    assert not re.search(r"^--|https?://", text, re.MULTILINE)
