"""Every ClusterPolicy and Policy of the conformance data: refused exactly where Kyverno's tests say that creating it fails."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from engine.compiler import compile_policy
from engine.errors import InvalidPolicy
from tests.conformance.oracle import conformance_dir, score

REFUSED_BY_SCRIPT = (
    "policy-validation/cluster-policy/cel-preconditions/",
    "policy-validation/cluster-policy/deprecated-operations/policy-invalid-operator",
    "policy-validation/cluster-policy/invalid-pod-security-rule/",
    "generate/policy/standard/clone/sync/pol-clone-sync-invalid/",
    "validate/clusterpolicy/standard/audit/background-match-clusterRoles/",
    "validate/clusterpolicy/standard/audit/background-vars-",
    "validate/clusterpolicy/standard/audit-deprecated/background-match-clusterRoles/",
    "validate/clusterpolicy/standard/audit-deprecated/background-vars-",
)
"""Below chainsaw/: the tests expect a refusal by other means than a step's `expect`."""


def test_policies_are_refused_where_kyvernos_tests_say_so() -> None:
    folder = conformance_dir() / "data"
    if not folder.is_dir():
        pytest.skip(f"no policies in {folder}")
    chainsaw = folder / "kyverno" / "test" / "conformance" / "chainsaw"
    refused = set(_refused(chainsaw))
    cases = [
        {
            "id": f"{file.relative_to(folder)}#{index}",
            "document": document,
            "refused": file in refused or _by_script(file, chainsaw),
        }
        for file in sorted(folder.rglob("*.yaml"))
        for index, document in enumerate(_policies(file))
    ]
    score("policy-acceptance", cases, difference)


def difference(case: dict[str, Any]) -> str | None:
    try:
        compile_policy(case["document"])
    except InvalidPolicy as error:
        return None if case["refused"] else f"refused: {error}"
    return "accepted" if case["refused"] else None


def _by_script(file: Path, chainsaw: Path) -> bool:
    return file.is_relative_to(chainsaw) and str(file.relative_to(chainsaw)).startswith(REFUSED_BY_SCRIPT)


def _policies(file: Path) -> list[Any]:
    """Whole policies of a file; documents that only assert a part of one (a status) are left out."""
    text = file.read_text(errors="replace")
    if "kyverno.io/" not in text or "Policy" not in text:
        return []
    try:
        documents = list(yaml.load_all(text, yaml.CSafeLoader))
    except yaml.YAMLError:
        return []
    return [document for document in documents if isinstance(document, dict) and _is_whole(document)]


def _is_whole(document: dict[str, Any]) -> bool:
    if document.get("kind") not in ("ClusterPolicy", "Policy") or not str(document.get("apiVersion")).startswith("kyverno.io/"):
        return False
    rules = (document.get("spec") or {}).get("rules")
    return bool(rules) and "match" in rules[0]


def _refused(chainsaw: Path) -> Iterator[Path]:
    """The files whose creation fails in a step of a chainsaw test."""
    for file in chainsaw.rglob("chainsaw-test.yaml"):
        text = file.read_text()
        if "$error" not in text:
            continue
        for test in yaml.load_all(text, yaml.CSafeLoader):
            operations = [operation for step in test["spec"].get("steps") or [] for operation in step.get("try") or []]
            for operation in operations:
                body = operation.get("apply") or operation.get("create") or {}
                if "$error" in str(body.get("expect")) and body.get("file"):
                    yield (file.parent / body["file"]).resolve()
