"""`pyvern autogen show`."""

from __future__ import annotations

import json
from pathlib import Path

import yaml

from tests.cli.program import pyvern

POLICY = """apiVersion: kyverno.io/v1
kind: ClusterPolicy
metadata:
  name: tags
  annotations: {pod-policies.kyverno.io/autogen-controllers: "Deployment,CronJob"}
spec:
  rules:
    - name: tag
      match: {any: [{resources: {kinds: [Pod]}}]}
      validate: {message: "see {{ request.object.metadata.name }}", pattern: {spec: {containers: [{image: "*:*"}]}}}
"""


def test_a_file_without_a_policy_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "pod.yaml").write_text("apiVersion: v1\nkind: Pod\nmetadata: {name: a}\n")
    ran = pyvern("autogen", "show", tmp_path / "pod.yaml")
    assert (ran.status, ran.err) == (1, f"Error: {tmp_path / 'pod.yaml'}: no policy in it\n")


def test_the_generated_rules_are_printed(tmp_path: Path) -> None:
    file = tmp_path / "policy.yaml"
    file.write_text(POLICY)
    ran = pyvern("autogen", "show", file)
    assert ran.out.startswith("# policy tags: 2 generated rules\n")
    template, cron_job = yaml.safe_load(ran.out)
    assert (template["name"], cron_job["name"]) == ("autogen-tag", "autogen-cronjob-tag")
    assert template["validate"]["pattern"] == {"spec": {"template": {"spec": {"containers": [{"image": "*:*"}]}}}}
    assert json.loads(pyvern("autogen", "show", file, "-o", "json").out) == [{"policy": "tags", "rules": [template, cron_job]}]


def test_rules_generated_from_one_rule(tmp_path: Path) -> None:
    file = tmp_path / "policy.yaml"
    file.write_text(POLICY)
    assert pyvern("autogen", "show", file, "--rule", "other").out == "# policy tags: 0 generated rules\n"


def test_a_policy_that_does_not_compile_is_named(tmp_path: Path) -> None:
    file = tmp_path / "policy.yaml"
    file.write_text(POLICY.replace("message", "mesage"))
    ran = pyvern("autogen", "show", file)
    assert (ran.status, ran.err) == (1, f"Error: {file}:10:18: spec.rules[0].validate.mesage: unknown field\n")
