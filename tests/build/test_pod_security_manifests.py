"""deploy/policies/pod-security: what `kubectl apply -k` would create."""

from __future__ import annotations

import shutil
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

FOLDER = Path(__file__).parents[2] / "deploy" / "policies" / "pod-security"
ANNOTATIONS = {f"policies.kyverno.io/{name}" for name in ("title", "category", "severity", "subject", "description")}
Document = dict[str, Any]


@cache
def rendered(variant: str) -> tuple[Document, ...]:
    kubectl = shutil.which("kubectl") or next(map(str, sorted(Path.home().glob(".cache/pyvern/bin/*/kubectl"))), None)
    if kubectl is None:
        pytest.skip("no kubectl on PATH; `make up` builds one")
    command = [kubectl, "kustomize", str(FOLDER / variant)]
    result = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert result.returncode == 0, result.stderr
    return tuple(yaml.load_all(result.stdout, Loader=yaml.CSafeLoader))


def actions(variant: str) -> set[str]:
    return {rule["validate"]["failureAction"] for policy in rendered(variant) for rule in policy["spec"]["rules"]}


def test_each_variant_acts_as_its_name_says() -> None:
    assert actions("audit") == {"Audit"}
    assert actions("enforce") == {"Enforce"}


@pytest.mark.parametrize("variant", ["audit", "enforce"])
def test_every_policy_file_is_rendered(variant: str) -> None:
    assert {policy["metadata"]["name"] for policy in rendered(variant)} == {file.stem for file in FOLDER.glob("base/*/*.yaml")}


def test_policies_are_described_for_reports() -> None:
    assert [p["metadata"]["name"] for p in rendered("audit") if set(p["metadata"]["annotations"]) != ANNOTATIONS] == []


def test_levels_are_eleven_baseline_and_six_restricted() -> None:
    levels = [policy["metadata"]["annotations"]["policies.kyverno.io/category"] for policy in rendered("audit")]
    assert sorted(map(levels.count, set(levels))) == [6, 11]
