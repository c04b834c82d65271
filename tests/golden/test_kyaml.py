"""Strategic merges against what kustomize made of the same documents and patches (kyaml/golden.json, made by kyaml/main.go)."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

from engine.document import same
from engine.document.strategic import StrategicMergeError, strategic_merge

GOLDEN = Path(__file__).parent / "kyaml" / "golden.json"


def _examples() -> list[dict[str, Any]]:
    return [json.loads(line) for line in GOLDEN.read_text().splitlines()]


def _differs(example: dict[str, Any]) -> bool:
    document, patch = copy.deepcopy(example["document"]), copy.deepcopy(example["patch"])
    try:
        merged = strategic_merge(document, patch)
    except StrategicMergeError as error:
        return str(error) != example.get("error")
    assert (document, patch) == (example["document"], example["patch"])
    return "error" in example or not same(merged, example["result"])


def test_every_patch_merges_as_kustomize_merges_it() -> None:
    different = [example for example in _examples() if _differs(example)]
    assert different == []
