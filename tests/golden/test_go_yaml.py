"""The denial text against what go-yaml wrote for the same mappings (go_yaml/golden.json, made by go_yaml/main.go)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from engine.lang import go_yaml

GOLDEN = Path(__file__).parent / "go_yaml" / "golden.json"


def _examples() -> list[dict[str, Any]]:
    return [json.loads(line) for line in GOLDEN.read_text().splitlines()]


def test_every_mapping_is_written_as_go_yaml_writes_it() -> None:
    different = [example["input"] for example in _examples() if go_yaml.dump(example["input"]) != example["output"]]
    assert different == []


def test_a_denial_names_policy_rule_and_message() -> None:
    message = "validation error: label 'team' is required. rule check-team failed at path /metadata/labels/team/"
    assert go_yaml.dump({"require-labels": {"check-team": message}}) == (
        "require-labels:\n"
        "  check-team: 'validation error: label ''team'' is required. rule check-team failed\n"
        "    at path /metadata/labels/team/'\n"
    )


@pytest.mark.parametrize(
    ("policy", "rule", "lines"),
    [
        (
            "require-labels",
            "autogen-check-for-labels",
            [
                "validation error: The label `app.kubernetes.io/name`",
                "is required. rule autogen-check-for-labels failed at path /spec/template/metadata/labels/app/",
            ],
        ),
        (
            "require-resource-limits",
            "check-resource-limits-1",
            [
                "validation error: All containers must have resource limits",
                "defined. rule check-resource-limits-1 failed at path /spec/containers/",
            ],
        ),
    ],
)
def test_a_line_ends_at_the_first_blank_past_column_eighty(policy: str, rule: str, lines: list[str]) -> None:
    assert go_yaml.dump({policy: {rule: " ".join(lines)}}) == f"{policy}:\n  {rule}: '{lines[0]}\n    {lines[1]}'\n"


def test_keys_are_in_natural_order() -> None:
    names = ["rule-10", "rule-b", "rule-9", "rule", "rule-a"]
    lines = go_yaml.dump({name: {} for name in names}).splitlines()
    assert [line.partition(":")[0] for line in lines] == ["rule", "rule-9", "rule-10", "rule-a", "rule-b"]


def test_a_message_of_several_lines_is_a_literal_block() -> None:
    assert go_yaml.dump({"p": {"r": "first\nsecond"}}) == "p:\n  r: |-\n    first\n    second\n"
