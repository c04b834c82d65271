"""`pyvern apply -o sarif|junit`: results with file and line of the manifest."""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree

import pytest

from tests.cli.program import pyvern

POLICY = """apiVersion: kyverno.io/v1
kind: ClusterPolicy
metadata:
  name: tags
  annotations:
    policies.kyverno.io/title: Image tags
    policies.kyverno.io/category: Supply chain
    policies.kyverno.io/severity: high
    policies.kyverno.io/description: Images have tags.
spec:
  rules:
    - name: tag
      match: {any: [{resources: {kinds: [Pod]}}]}
      validate: {message: "tag it <now>", pattern: {spec: {containers: [{image: "*:*"}]}}}
    - name: owner
      match: {any: [{resources: {kinds: [Pod]}}]}
      preconditions: {all: [{key: "{{ request.namespace }}", operator: Equals, value: shop}]}
      validate: {deny: {}}
"""
RESOURCES = """apiVersion: v1
kind: Pod
metadata: {name: good}
spec: {containers: [{name: a, image: "a:1"}]}
---
# the second one
apiVersion: v1
kind: Pod
metadata:
  name: bad
spec:
  containers:
    - name: a
      image: "a:1"
    - name: b
      image: b
"""


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "policy.yaml").write_text(POLICY)
    (tmp_path / "pods.yaml").write_text(RESOURCES)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_sarif_points_at_the_field_that_fails(files: Path) -> None:
    ran = pyvern("apply", "policy.yaml", "-r", "pods.yaml", "-o", "sarif")
    assert ran.status == 1
    (run,) = json.loads(ran.out)["runs"]
    (result,) = run["results"]
    assert (result["ruleId"], result["level"]) == ("tags/tag", "error")
    assert result["message"]["text"].startswith("default/Pod/bad: validation error: tag it <now>.")
    place = result["locations"][0]["physicalLocation"]
    assert place["artifactLocation"]["uri"] == "pods.yaml"
    assert place["region"] == {"startLine": 16, "startColumn": 7}
    (rule,) = run["tool"]["driver"]["rules"]
    assert rule["shortDescription"] == {"text": "Image tags"}
    assert rule["properties"] == {"security-severity": "8.0", "tags": ["Supply chain"]}


def test_broken_inputs_are_results_too(files: Path) -> None:
    (files / "broken.yaml").write_text("apiVersion: v1\nkind: [\n")
    (files / "invalid.yaml").write_text(POLICY.replace("pattern", "patern"))
    ran = pyvern("apply", "policy.yaml", "invalid.yaml", "-r", "pods.yaml", "-r", "broken.yaml", "-o", "sarif")
    results = json.loads(ran.out)["runs"][0]["results"]
    faults = [result for result in results if result["ruleId"] == "pyvern/input"]
    places = [fault["locations"][0]["physicalLocation"] for fault in faults]
    assert [place["artifactLocation"]["uri"] for place in places] == ["invalid.yaml", "broken.yaml"]
    assert places[0]["region"]["startLine"] == 14


def test_junit_has_a_case_for_each_rule_and_object(files: Path) -> None:
    ran = pyvern("apply", "policy.yaml", "-r", "pods.yaml", "-o", "junit")
    assert ran.status == 1
    root = ElementTree.fromstring(ran.out)
    (suite,) = root
    assert {key: suite.get(key) for key in ("name", "tests", "failures", "errors", "skipped")} == {
        "name": "tags",
        "tests": "4",
        "failures": "1",
        "errors": "0",
        "skipped": "2",
    }
    (failed,) = [case for case in suite if case.find("failure") is not None]
    assert (failed.get("name"), failed.get("file"), failed.get("line")) == ("tag: default/Pod/bad", "pods.yaml", "16")
    assert "tag it <now>" in str(failed.find("failure").text)  # type: ignore[union-attr]


def test_characters_that_xml_does_not_know_are_left_out(files: Path) -> None:
    (files / "policy.yaml").write_text(POLICY.replace("tag it <now>", r"bell \a rings"))
    ElementTree.fromstring(pyvern("apply", "policy.yaml", "-r", "pods.yaml", "-o", "junit").out)


def test_nothing_wrong_is_an_empty_log(files: Path) -> None:
    (files / "pods.yaml").write_text(RESOURCES.split("---")[0])
    ran = pyvern("apply", "policy.yaml", "-r", "pods.yaml", "-o", "sarif")
    assert (ran.status, json.loads(ran.out)["runs"][0]["results"]) == (0, [])
