"""What names a policy that is not given is warned about once, and changes nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.program import pyvern

POLICY = """
apiVersion: kyverno.io/v1
kind: KIND
metadata: {name: NAME, namespace: blue}
spec:
  rules:
  - name: check-team
    match: {any: [{resources: {kinds: [Pod]}}]}
    validate: {message: a team is needed, pattern: {metadata: {labels: {team: "?*"}}}}
"""
EXCEPTION = """
apiVersion: kyverno.io/v2
kind: PolicyException
metadata: {name: legacy, namespace: blue}
spec:
  match: {any: [{resources: {kinds: [Pod], names: [nobody]}}]}
  exceptions:
  - {policyName: team, ruleNames: ["*"]}
  - {policyName: blue/own, ruleNames: ["*"]}
  - {policyName: broken, ruleNames: ["*"]}
  - {policyName: taem, ruleNames: [a]}
  - {policyName: taem, ruleNames: [b]}
  - {policyName: own, ruleNames: ["*"]}
"""
BINDING = """
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata: {name: everywhere}
spec: {policyName: sized, validationActions: [Deny]}
"""
POD = "apiVersion: v1\nkind: Pod\nmetadata: {name: bad, namespace: blue}\nspec: {containers: [{name: a, image: b}]}\n"
TEST = """
apiVersion: cli.kyverno.io/v1alpha1
kind: Test
metadata: {name: t}
policies: [policies.yaml]
resources: [pod.yaml]
exceptions: [exception.yaml]
results:
- {policy: team, rule: check-team, resources: [bad], result: fail}
- {policy: blue/own, rule: check-team, resources: [bad], result: fail}
- {policy: taem, rule: a, resources: [bad], result: fail}
- {policy: taem, rule: b, resources: [bad], result: fail}
"""


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    team = POLICY.replace("KIND", "ClusterPolicy").replace("NAME, namespace: blue", "team")
    own = POLICY.replace("KIND", "Policy").replace("NAME", "own")
    broken = team.replace("name: team", "name: broken").replace("pattern:", "patern:")
    (tmp_path / "policies.yaml").write_text("---".join([team, own, broken]))
    (tmp_path / "exception.yaml").write_text(EXCEPTION)
    (tmp_path / "binding.yaml").write_text(BINDING)
    (tmp_path / "pod.yaml").write_text(POD)
    (tmp_path / "kyverno-test.yaml").write_text(TEST)
    return tmp_path


def test_apply_warns_of_exceptions_and_bindings(files: Path) -> None:
    without = pyvern("apply", "policies.yaml", "-r", "pod.yaml")
    ran = pyvern("apply", "policies.yaml", "binding.yaml", "-r", "pod.yaml", "-e", "exception.yaml")
    warnings = [line for line in ran.err.splitlines() if line.startswith("Warning: ")]
    assert warnings == [
        "Warning: exception blue/legacy names policy `taem`, which is not given",
        "Warning: exception blue/legacy names policy `own`, which is not given",
        "Warning: binding.yaml:1: ValidatingAdmissionPolicyBinding everywhere names policy `sized`, which is not given",
    ]
    assert (ran.status, ran.out.splitlines()[-1]) == (without.status, without.out.splitlines()[-1])


def test_tests_warn_of_rows_too(files: Path) -> None:
    ran = pyvern("test", ".")
    warnings = [line for line in ran.out.splitlines() if "Warning: " in line]
    assert warnings == [
        "  Warning: exception blue/legacy names policy `taem`, which is not given",
        "  Warning: exception blue/legacy names policy `own`, which is not given",
        "  Warning: results name policy `taem`, which is not given",
    ]
    assert "Test Summary: 2 tests passed and 2 tests failed" in ran.out
