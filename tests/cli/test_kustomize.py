"""Kustomize folders among policies and resources."""

from __future__ import annotations

from pathlib import Path

import pytest

from cli.kubectl import find
from tests.cli.program import pyvern
from tests.cli.test_apply import POD, POLICY

PATCHED = """
resources: [../base]
namePrefix: team-
"""
needs_kustomize = pytest.mark.skipif(find("kubectl", "kustomize") is None, reason="neither kubectl nor kustomize is there")


@pytest.fixture(autouse=True)
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name, kustomization in (("base", "resources: [policy.yaml]\n"), ("overlay", PATCHED)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "kustomization.yaml").write_text(kustomization)
    (tmp_path / "base/policy.yaml").write_text(POLICY)
    (tmp_path / "pod.yaml").write_text(POD)
    return tmp_path


@needs_kustomize
@pytest.mark.parametrize("path", ["overlay", "overlay/kustomization.yaml"])
def test_a_kustomization_is_rendered(path: str) -> None:
    assert "policy team-require-labels -> resource default/Pod/badpod failed:" in pyvern("apply", path, "-r", "pod.yaml").out


@needs_kustomize
def test_resources_are_rendered_too(folders: Path) -> None:
    (folders / "app").mkdir()
    (folders / "app/kustomization.yaml").write_text("namePrefix: my-\nresources: [pod.yaml]\n")
    (folders / "app/pod.yaml").write_text(POD)
    assert "resource default/Pod/my-badpod failed:" in pyvern("apply", "base", "-r", "app").out


@needs_kustomize
def test_what_kustomize_says_is_shown_with_its_command(folders: Path) -> None:
    (folders / "overlay/kustomization.yaml").write_text("resources: [../nowhere]\n")
    ran = pyvern("apply", "overlay", "-r", "pod.yaml")
    assert ran.status == 1
    assert ran.err.startswith("Error: overlay: `ku")
    assert "nowhere" in ran.err.splitlines()[0]


def test_a_kustomization_is_no_resource_of_its_folder(folders: Path) -> None:
    (folders / "app/sub").mkdir(parents=True)
    (folders / "app/kustomization.yaml").write_text("resources: [sub/pod.yaml]\n")
    (folders / "app/sub/pod.yaml").write_text(POD)
    ran = pyvern("apply", "base", "-r", "app")
    assert "to 1 resource(s)" in ran.out
    assert ran.err == "Error: exit as there are policy violations\n"


@needs_kustomize
@pytest.mark.parametrize("entry", [".", "sub/up"])
def test_a_kustomization_that_lists_itself_is_an_error_not_a_crash(folders: Path, entry: str) -> None:
    (folders / "app/sub").mkdir(parents=True)
    (folders / "app/sub/up").symlink_to(folders / "app")
    (folders / "app/kustomization.yaml").write_text(f"resources: [{entry}]\n")
    ran = pyvern("apply", "base", "-r", "app")
    assert ran.status == 1
    assert "cycle detected" in ran.err


def test_a_mere_list_of_files_needs_no_program(monkeypatch: pytest.MonkeyPatch, folders: Path) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.setenv("PYVERN_CACHE", str(folders))
    assert "pass: 0, fail: 1" in pyvern("apply", "base", "-r", "pod.yaml").out
    ran = pyvern("apply", "overlay", "-r", "pod.yaml")
    assert ran.status == 1
    assert ran.err == "Error: overlay: a kustomization needs `kubectl` or `kustomize` on PATH, and neither is there\n"


def test_a_folder_without_a_policy_is_named(folders: Path) -> None:
    (folders / "empty").mkdir()
    ran = pyvern("apply", "empty", "-r", "pod.yaml")
    assert (ran.status, ran.err) == (1, "Error: empty: no policy in it\n")
    assert "Warning: empty: no policy in it\n" in pyvern("apply", "base", "empty", "-r", "pod.yaml").err
