"""`pyvern test`: finding tests, comparing rows, printing results."""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree

import pytest
import yaml

from tests.cli.program import pyvern

POLICY = """
apiVersion: kyverno.io/v1
kind: ClusterPolicy
metadata: {name: team}
spec:
  rules:
  - name: check
    match: {any: [{resources: {kinds: [Pod]}}]}
    validate:
      message: no team
      pattern: {metadata: {labels: {team: "?*"}}}
---
apiVersion: kyverno.io/v1
kind: ClusterPolicy
metadata: {name: mark}
spec:
  rules:
  - name: mark
    match: {any: [{resources: {kinds: [ConfigMap]}}]}
    mutate: {patchStrategicMerge: {data: {mark: "yes"}}}
"""
RESOURCES = """
apiVersion: v1
kind: Pod
metadata: {name: good, labels: {team: core}}
---
apiVersion: v1
kind: Pod
metadata: {name: bad, labels: {app: x}}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: settings}
"""
HEAD = """
apiVersion: cli.kyverno.io/v1alpha1
kind: Test
metadata: {name: t}
policies: [policy.yaml]
resources: [resources.yaml]
results:
"""
PASSING = "- {policy: team, rule: check, kind: Pod, resources: [good], result: pass}\n"
FAILING = "- {policy: team, rule: check, kind: Pod, resources: [default/bad], result: fail}\n"
WRONG = "- {policy: team, rule: check, kind: Pod, resources: [bad], result: pass}\n"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with policies and resources, still without a test."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "policy.yaml").write_text(POLICY)
    (tmp_path / "resources.yaml").write_text(RESOURCES)
    return tmp_path


def test_expected_results_pass(folder: Path) -> None:
    (folder / "kyverno-test.yaml").write_text(HEAD + PASSING + FAILING)
    ran = pyvern("test", ".")
    assert ran.status == 0
    assert ran.out.startswith(
        "Loading test  ( ./kyverno-test.yaml ) ...\n"
        "  Loading values/variables ...\n"
        "  Loading policies ...\n"
        "  Loading resources ...\n"
        "  Loading exceptions ...\n"
        "  Applying 2 policies to 3 resources with 0 exceptions ...\n"
        "  Checking results ...\n"
        "\n│────│────────│"
    )
    assert "│ 1  │ team   │ check │ v1/Pod/default/good │ Pass   │ Ok     │" in ran.out
    assert ran.out.endswith("Test Summary: 2 tests passed and 0 tests failed\n")


def test_unexpected_results_fail_with_what_was_wanted(folder: Path) -> None:
    (folder / "kyverno-test.yaml").write_text(HEAD + PASSING + WRONG)
    ran = pyvern("test", ".", "--detailed-results")
    assert ran.status == 1
    assert "Want pass, got fail │ validation error: no team. rule check failed at path /metadata/labels/team/" in ran.out
    assert "Test Summary: 1 tests passed and 1 tests failed" in ran.out
    assert ran.err == "Error: 1 tests failed\n"


def test_a_row_that_no_rule_answers_is_excluded_and_an_unknown_policy_is_not_found(folder: Path) -> None:
    rows = "- {policy: team, rule: other, resources: [good], result: fail}\n- {policy: nobody, resources: [good], result: pass}\n"
    (folder / "kyverno-test.yaml").write_text(HEAD + rows)
    out = pyvern("test", ".").out
    assert "│ Skip   │ Excluded  │" in out
    assert "│ Fail   │ Not found │" in out
    assert "Test Summary: 1 tests passed and 1 tests failed" in out


def test_an_unknown_resource_means_all_resources(folder: Path) -> None:
    (folder / "kyverno-test.yaml").write_text(HEAD + "- {policy: team, rule: check, resources: [typo], result: pass}\n")
    assert "Test Summary: 2 tests passed and 1 tests failed" in pyvern("test", ".").out


def test_mutated_objects_are_compared(folder: Path) -> None:
    row = "- {policy: mark, rule: mark, resources: [settings], patchedResources: patched.yaml, result: pass}\n"
    (folder / "kyverno-test.yaml").write_text(HEAD + row)
    patched = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: settings, labels: {}}\ndata: {mark: 'yes'}\n"
    (folder / "patched.yaml").write_text(patched)
    assert pyvern("test", ".").status == 0
    (folder / "patched.yaml").write_text(patched.replace("'yes'", "'no'"))
    ran = pyvern("test", ".", "--detailed-results")
    assert ran.status == 1
    assert "Resource diff │ data.mark: want `no`, got `yes`" in ran.out


def test_rows_are_chosen_by_policy_rule_and_resource(folder: Path) -> None:
    (folder / "kyverno-test.yaml").write_text(HEAD + PASSING + WRONG)
    assert pyvern("test", ".", "-t", "policy=team,rule=ch*,resource=good").out.count("v1/Pod/default/good │ Pass   │") == 2
    assert "wants policy=..,rule=..,resource=.." in pyvern("test", ".", "-t", "kind=Pod").err


def test_only_failures_are_shown_when_asked(folder: Path) -> None:
    (folder / "kyverno-test.yaml").write_text(HEAD + PASSING + WRONG)
    out = pyvern("test", ".", "--fail-only").out
    assert "v1/Pod/default/good" not in out
    assert "Test Summary: 1 out of 2 tests failed" in out


@pytest.mark.parametrize("form", ["json", "yaml"])
def test_results_as_data(folder: Path, form: str) -> None:
    (folder / "kyverno-test.yaml").write_text(HEAD + PASSING)
    text = pyvern("test", ".", "-o", form).out.split("Checking results ...\n")[1].split("\nTest Summary")[0]
    (row,) = json.loads(text) if form == "json" else yaml.safe_load(text)
    assert row == {
        "ID": 1,
        "POLICY": "team",
        "RULE": "check",
        "RESOURCE": "v1/Pod/default/good",
        "RESULT": "Pass",
        "REASON": "Ok",
    }


def test_results_for_continuous_integration(folder: Path) -> None:
    (folder / "kyverno-test.yaml").write_text(HEAD + PASSING + WRONG)
    text = pyvern("test", ".", "-o", "junit").out.split("Checking results ...\n")[1].split("\nTest Summary")[0]
    (suite,) = ElementTree.fromstring(text.strip())
    assert (suite.get("name"), suite.get("tests"), suite.get("failures")) == ("team", "2", "1")
    assert "| 1 | team | check | v1/Pod/default/good | Pass | Ok |" in pyvern("test", ".", "-o", "markdown").out


def test_a_test_that_cannot_be_run_does_not_hide_the_others(folder: Path) -> None:
    (folder / "kyverno-test.yaml").write_text(HEAD + PASSING)
    (folder / "broken").mkdir()
    (folder / "broken" / "kyverno-test.yaml").write_text(HEAD + "- {policy: team, result: pass, rezources: [a]}\n")
    ran = pyvern("test", ".")
    assert ran.status == 1
    assert "Test Summary: 1 tests passed and 0 tests failed" in ran.out
    assert "./broken/kyverno-test.yaml:8:32: results[0].rezources: unknown field `rezources`\n" in ran.err
    assert ran.err.endswith("Error: 1 test files could not be run\n")


@pytest.mark.parametrize("value", ["5", "[5]", "{a: b}", "[{a: b}]", "true"])
def test_sources_of_clones_that_are_no_paths_are_refused(folder: Path, value: str) -> None:
    row = PASSING.replace("}", f", cloneSourceResource: {value}}}")
    (folder / "kyverno-test.yaml").write_text(HEAD + row)
    ran = pyvern("test", ".")
    assert "cloneSourceResource" in ran.err
    assert "must be a string, got" in ran.err
    assert ran.status == 1


def test_field_names_are_read_without_regard_to_case(folder: Path) -> None:
    (folder / "kyverno-test.yaml").write_text(HEAD + PASSING.replace("result:", "isMUtatingPolicy: false, Result:"))
    assert pyvern("test", ".").status == 0


def test_the_old_form_of_tests_is_refused(folder: Path) -> None:
    (folder / "kyverno-test.yaml").write_text("name: old\npolicies: []\n")
    ran = pyvern("test", ".")
    assert "deprecated schema" in ran.err
    assert ran.status == 1


@pytest.mark.usefixtures("folder")
def test_no_tests_fail_only_when_tests_are_required() -> None:
    ran = pyvern("test", ".")
    assert (ran.status, ran.out) == (0, "No test yamls available\n")
    assert pyvern("test", ".", "--require-tests").status == 1
    assert pyvern("test", "nowhere").err == "Error: nowhere: no such file or folder\n"
