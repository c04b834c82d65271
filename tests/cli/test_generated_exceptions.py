"""`pyvern apply --generate-exceptions`: what it prints lets pass what fails now."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from tests.cli.program import pyvern
from tests.cli.test_apply import POD, POLICY

SECURITY = """
---
apiVersion: kyverno.io/v1
kind: ClusterPolicy
metadata: {name: pss}
spec:
  rules:
  - name: Base Line
    match: {any: [{resources: {kinds: [Pod]}}]}
    validate: {podSecurity: {level: baseline, version: latest}}
"""
WORKLOADS = """
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: badpod}
spec: {template: {spec: {hostNetwork: true, containers: [{name: a, image: b, securityContext: {privileged: true}}]}}}
"""


@pytest.fixture(autouse=True)
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "policy.yaml").write_text(POLICY + SECURITY)
    (tmp_path / "pods.yaml").write_text(POD + WORKLOADS)
    return tmp_path


def test_the_exceptions_let_pass_what_fails(files: Path) -> None:
    ran = pyvern("apply", "policy.yaml", "-r", "pods.yaml", "--generate-exceptions")
    assert ran.status == 1
    (files / "exceptions.yaml").write_text(ran.out)
    after = pyvern("apply", "policy.yaml", "-r", "pods.yaml", "-e", "exceptions.yaml")
    assert (after.status, ", fail: 0, " in after.out) == (0, True)


def test_they_name_the_written_rule_and_end_after_a_while() -> None:
    out = pyvern("apply", "policy.yaml", "-r", "pods.yaml", "--generate-exceptions", "--generated-exception-ttl", "24h").out
    exceptions = list(yaml.safe_load_all(out))
    assert exceptions[0] == {
        "apiVersion": "kyverno.io/v2beta1",
        "kind": "PolicyException",
        "metadata": {
            "name": "require-labels-check-team-default-badpod",
            "namespace": "default",
            "labels": {"cleanup.kyverno.io/ttl": "24h"},
        },
        "spec": {
            "exceptions": [
                {
                    "policyName": "require-labels",
                    "ruleNames": ["check-team", "autogen-check-team", "autogen-cronjob-check-team"],
                }
            ],
            "match": {"any": [{"resources": {"kinds": ["Pod"], "names": ["badpod"], "namespaces": ["default"]}}]},
        },
    }
    assert [exception["metadata"]["name"] for exception in exceptions[1:]] == [
        "require-labels-check-team-default-badpod-deployment",
        "pss-base-line-default-badpod",
    ]


def test_a_time_must_be_one() -> None:
    ran = pyvern("apply", "policy.yaml", "-r", "pods.yaml", "--generate-exceptions", "--generated-exception-ttl", "soon")
    assert ran.err == "Error: --generated-exception-ttl: `soon` is no positive duration such as 720h\n"
