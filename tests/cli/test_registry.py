"""`--registry`: data of images from a real registry, without a cluster."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.program import pyvern
from tests.registry import PASSWORD, USER, Filled, basic, by_password, registry

POLICY = """
apiVersion: kyverno.io/v1
kind: ClusterPolicy
metadata: {name: no-root, annotations: {pod-policies.kyverno.io/autogen-controllers: none}}
spec:
  background: false
  rules:
  - name: user
    match: {any: [{resources: {kinds: [Pod]}}]}
    validate:
      message: images must not run as root
      foreach:
      - list: request.object.spec.containers
        context:
        - name: image
          imageRegistry:
            reference: "{{ element.image }}"
            jmesPath: "{user: configData.config.User || 'root', digest: digest}"
            imageRegistryCredentials: {allowInsecureRegistry: true}
        deny:
          conditions:
            all: [{key: "{{ image.user }}", operator: Equals, value: root}]
"""
TEST = """
apiVersion: cli.kyverno.io/v1alpha1
kind: Test
metadata: {name: root}
policies: [policy.yaml]
resources: [pods.yaml]
results:
- {policy: no-root, rule: user, resources: [good], kind: Pod, result: pass}
- {policy: no-root, rule: user, resources: [bad], kind: Pod, result: fail}
"""


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Filled]:
    folder = tmp_path_factory.mktemp("registry")
    with registry(folder, auth=by_password(folder / "auth"), authorization=basic()) as running:
        running.push("good", "v1", config={"config": {"User": "1000"}})
        running.push("bad", "v1", config={"config": {}})
        yield running


@pytest.fixture
def files(stored: Filled, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    auths = {"auths": {stored.host: {"username": USER, "password": PASSWORD}}}
    Path("config.json").write_text(json.dumps(auths))
    Path("policy.yaml").write_text(POLICY)
    Path("kyverno-test.yaml").write_text(TEST)
    pod = "apiVersion: v1\nkind: Pod\nmetadata: {name: NAME}\nspec: {containers: [{name: a, image: HOST/NAME:v1}]}\n---\n"
    Path("pods.yaml").write_text("".join(pod.replace("NAME", name).replace("HOST", stored.host) for name in ("good", "bad")))
    return tmp_path


def test_apply_asks_the_registry(files: Path) -> None:
    ran = pyvern("apply", "policy.yaml", "-r", "pods.yaml", "--registry")
    assert "pass: 1, fail: 1, warn: 0, error: 0, skip: 0" in ran.out
    assert ran.status == 1


def test_tests_ask_the_registry(files: Path) -> None:
    ran = pyvern("test", ".", "--registry", "--remove-color")
    assert "2 tests passed and 0 tests failed" in ran.out


def test_without_the_flag_nothing_is_asked(files: Path) -> None:
    ran = pyvern("apply", "policy.yaml", "-r", "pods.yaml")
    assert "error: 2" in ran.out


def test_a_log_in_that_is_wrong_is_told_with_rule_entry_and_url(files: Path, stored: Filled) -> None:
    (files / "config.json").write_text("{}")
    ran = pyvern("apply", "policy.yaml", "-r", "pods.yaml", "--registry", "--detailed-results", "-t")
    assert f"GET https://{stored.host}" in ran.out or f"GET http://{stored.host}/v2/good/manifests/v1: HTTP 401" in ran.out
    (files / "config.json").write_text("{")
    ran = pyvern("apply", "policy.yaml", "-r", "pods.yaml", "--registry")
    assert ran.status != 0
    assert "config.json: no JSON" in ran.err
