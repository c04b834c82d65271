"""`pyvern explain`: the steps of a verdict, as a tree and as JSON."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.cli.program import pyvern

POLICY = """apiVersion: kyverno.io/v1
kind: ClusterPolicy
metadata: {name: teams}
spec:
  rules:
    - name: team
      match:
        any:
          - resources:
              kinds: [Pod]
              namespaces: [shop-*]
      exclude:
        any:
          - resources: {kinds: [Pod], selector: {matchLabels: {legacy: "yes"}}}
      context:
        - name: allowed
          variable: {value: [red, blue]}
      preconditions:
        all:
          - key: "{{ request.object.metadata.labels.app || '' }}"
            operator: NotEquals
            value: ""
      validate:
        message: "team must be one of {{ allowed }}"
        deny:
          conditions:
            any:
              - key: "{{ request.object.metadata.labels.team || 'none' | to_upper(@) }}"
                operator: AnyNotIn
                value: "{{ allowed }}"
    - name: tags
      match: {any: [{resources: {kinds: [Pod]}}]}
      validate:
        message: "a tag is needed"
        pattern: {spec: {containers: [{image: "*:*"}]}}
"""
POD = """apiVersion: v1
kind: Pod
metadata: {name: till, namespace: %s, labels: {app: till, team: green}}
spec: {containers: [{name: a, image: "till:1"}, {name: b, image: till}]}
"""


@pytest.fixture
def policy(tmp_path: Path) -> Path:
    file = tmp_path / "policy.yaml"
    file.write_text(POLICY)
    return file


@pytest.fixture
def pod(tmp_path: Path) -> Path:
    file = tmp_path / "pod.yaml"
    file.write_text(POD % "shop-1")
    return file


def explained(*arguments: object) -> list[dict[str, Any]]:
    ran = pyvern("explain", *arguments, "-o", "json")
    assert ran.status == 0, ran.err
    found: list[dict[str, Any]] = json.loads(ran.out)
    return found


def step(explanation: dict[str, Any], *titles: str) -> dict[str, Any]:
    found = explanation
    for title in titles:
        found = next(inner for inner in found["steps"] if inner["step"] == title)
    return found


def test_match_and_exclude_are_told_attribute_by_attribute(policy: Path, pod: Path) -> None:
    team, _ = explained(policy, "-r", pod)
    namespaces = step(team, "match", "any[0]", "namespaces")
    assert (namespaces["holds"], namespaces["wanted"], namespaces["found"]) == (True, ["shop-*"], "shop-1")
    assert (namespaces["line"], namespaces["column"]) == (11, 15)
    selector = step(team, "exclude", "any[0]", "selector")
    assert (selector["holds"], selector["found"]) == (False, {"app": "till", "team": "green"})


def test_context_and_conditions_show_their_values(policy: Path, pod: Path) -> None:
    team, _ = explained(policy, "-r", pod)
    assert team["outcome"] == "fail"
    assert step(team, "context", "allowed")["found"] == ["red", "blue"]
    assert step(team, "preconditions")["holds"] is True
    (condition,) = step(team, "deny", "any")["steps"]
    assert (condition["holds"], condition["found"], condition["wanted"]) == (True, "GREEN", ["red", "blue"])
    parts = step(condition, "key")["steps"]
    assert [(part["step"], part["found"]) for part in parts] == [
        ("request.object.metadata.labels.team || 'none'", "green"),
    ]


def test_a_pattern_names_the_place_and_both_values(policy: Path, pod: Path) -> None:
    _, tags = explained(policy, "-r", pod)
    (place,) = step(tags, "pattern")["steps"]
    assert (place["step"], place["wanted"], place["found"]) == ("/spec/containers/1/image", "*:*", "till")


def test_a_rule_that_does_not_match_says_which_attribute(policy: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere.yaml"
    elsewhere.write_text(POD % "other")
    ran = pyvern("explain", policy, "-r", elsewhere, "--rule", "team")
    assert ran.out.splitlines() == [
        "teams / team on other/Pod/till: not matched",
        "└── ✗ match",
        "    └── ✗ any[0]",
        '        ├── ✓ kinds ["Pod"] ← "v1/Pod"',
        f'        └── ✗ namespaces ["shop-*"] ← "other"  {policy}:11:15',
    ]


def test_unmet_preconditions_end_the_explanation(policy: Path, tmp_path: Path) -> None:
    plain = tmp_path / "plain.yaml"
    plain.write_text("apiVersion: v1\nkind: Pod\nmetadata: {name: x, namespace: shop-2}\n")
    team, _ = explained(policy, "-r", plain)
    assert team["outcome"] == "skip"
    assert team["steps"][-1]["step"] == "preconditions"
    part = step(team["steps"][-1], "all")["steps"][0]["steps"][0]["steps"][0]
    assert part == {"step": "request.object.metadata.labels.app", "note": 'Unknown key "labels" in path'}


def test_generated_rules_are_shown_where_they_match(tmp_path: Path) -> None:
    deployment = tmp_path / "deployment.yaml"
    deployment.write_text(
        "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: x, namespace: shop-1}\n"
        "spec: {template: {spec: {containers: [{name: a, image: b}]}}}\n"
    )
    file = tmp_path / "tags.yaml"
    file.write_text(POLICY[: POLICY.index("    - name: team")] + POLICY[POLICY.index("    - name: tags") :])
    rows = explained(file, "-r", deployment)
    assert [(row["rule"], row["outcome"], row.get("generatedFrom")) for row in rows] == [
        ("tags", "not matched", None),
        ("autogen-tags", "fail", "tags"),
    ]
    assert len(explained(file, "-r", deployment, "--all")) == 3


def test_foreach_is_told_element_by_element(tmp_path: Path, pod: Path) -> None:
    file = tmp_path / "foreach.yaml"
    file.write_text(
        "apiVersion: kyverno.io/v1\nkind: ClusterPolicy\nmetadata: {name: p}\nspec:\n  rules:\n  - name: r\n"
        "    match: {any: [{resources: {kinds: [Pod]}}]}\n    validate:\n      foreach:\n"
        "      - list: request.object.spec.containers\n        deny: {conditions: {all: [{key: '{{ element.name }}', "
        "operator: Equals, value: b}]}}\n"
    )
    (row,) = explained(file, "-r", pod)
    elements = step(row, "foreach", "request.object.spec.containers")["steps"]
    assert [step(element, "deny")["holds"] for element in elements] == [False, True]


def test_what_rules_make_of_the_object_is_shown(tmp_path: Path, pod: Path) -> None:
    file = tmp_path / "mutate.yaml"
    file.write_text(
        "apiVersion: kyverno.io/v1\nkind: ClusterPolicy\nmetadata: {name: p}\nspec:\n  rules:\n  - name: r\n"
        "    match: {any: [{resources: {kinds: [Pod]}}]}\n"
        "    mutate: {patchStrategicMerge: {metadata: {labels: {seen: 'yes'}}}}\n"
    )
    (row,) = explained(file, "-r", pod)
    assert {"step": "add /metadata/labels/seen", "found": "yes"} in row["steps"]


def test_nobody_asking_and_somebody_asking(tmp_path: Path, pod: Path) -> None:
    file = tmp_path / "user.yaml"
    file.write_text(
        "apiVersion: kyverno.io/v1\nkind: ClusterPolicy\nmetadata: {name: p}\nspec:\n  background: false\n  rules:\n  - name: r\n"
        "    match: {any: [{resources: {kinds: [Pod]}, subjects: [{kind: User, name: ann}]}]}\n"
        "    validate: {deny: {}}\n"
    )
    user = tmp_path / "user-info.yaml"
    user.write_text(pyvern("create", "user-info", "-u", "bob").out)
    (nobody,), (bob,) = explained(file, "-r", pod), explained(file, "-r", pod, "-u", user)
    assert step(nobody, "match", "any[0]", "subjects")["note"].startswith("nobody asks")
    assert nobody["outcome"] == "fail"
    assert step(bob, "match", "any[0]", "subjects")["found"] == {"username": "bob", "groups": []}
    assert bob["outcome"] == "not matched"


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ((), "a policy and a resource are required: pyvern explain POLICY... -r RESOURCE"),
        (("p.yaml", "-r", "r.yaml", "-s", "a=b", "-f", "v.yaml"), "pass the values either using set flag or values_file flag"),
    ],
)
def test_wrong_arguments(arguments: tuple[str, ...], reason: str) -> None:
    assert pyvern("explain", *arguments) == (1, "", f"Error: {reason}\n")


def test_a_rule_that_does_not_exist_is_an_error(policy: Path, pod: Path) -> None:
    assert pyvern("explain", policy, "-r", pod, "--rule", "nothing") == (1, "", "Error: no policy has a rule `nothing`\n")
