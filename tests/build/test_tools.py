"""Finding and building the control plane's programs: the order of places, and one clear line for each obstacle."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from deploy.local import binaries
from deploy.local.binaries import BUNDLES, CONTROL_PLANE, LOAD, build, cache, can_provide, find
from deploy.local.console import Blocked, silent


@pytest.fixture(autouse=True)
def bare_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Nothing on PATH, an empty cache, no Go; returns the folder that PATH names."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    monkeypatch.setenv("PYVERN_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("KUBEBUILDER_ASSETS", raising=False)
    monkeypatch.setattr(binaries, "USUAL_GO", tmp_path / "no-go")
    monkeypatch.setattr(shutil, "which", lambda name: str(folder / name) if (folder / name).exists() else None)
    return folder


def script(folder: Path, name: str, text: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / name
    file.write_text(f"#!/bin/sh\n{text}\n")
    file.chmod(0o755)
    return file


def test_no_go_is_told_with_both_ways_out() -> None:
    assert can_provide() == (
        "no Go found to build the control plane with: install Go >= 1.24 (https://go.dev/dl) "
        "or set KUBEBUILDER_ASSETS to a folder with its binaries"
    )


def test_an_old_go_is_refused_by_version(bare_machine: Path) -> None:
    script(bare_machine, "go", "echo go version go1.21.3 linux/amd64")
    assert can_provide().endswith("is too old (go version go1.21.3 linux/amd64): install Go >= 1.24 (https://go.dev/dl)")


def test_no_network_is_told_apart_from_a_broken_build(bare_machine: Path) -> None:
    offline = "echo 'dial tcp: lookup proxy.example: no such host' >&2; exit 1"
    script(bare_machine, "go", f'if [ "$1" = version ]; then echo go version go1.25.0; else {offline}; fi')
    with pytest.raises(Blocked, match="modules cannot be downloaded: check the network, or set GOPROXY"):
        build(CONTROL_PLANE, to=silent)
    script(bare_machine, "go", 'if [ "$1" = version ]; then echo go version go1.25.0; else echo "x.go:1: oops" >&2; exit 1; fi')
    with pytest.raises(Blocked, match=r"(?s)tools failed: .*x\.go:1: oops"):
        build(CONTROL_PLANE, to=silent)
    assert not list(cache(CONTROL_PLANE).parent.glob(".building-*"))


def test_a_build_is_kept_outside_the_checkout_under_its_version(bare_machine: Path, tmp_path: Path) -> None:
    names = [CONTROL_PLANE.built_as.get(name, name) for name in CONTROL_PLANE.versions]
    install = "for name in " + " ".join(names) + '; do echo > "$GOBIN/$name"; chmod +x "$GOBIN/$name"; done'
    script(bare_machine, "go", f'if [ "$1" = version ]; then echo go version go1.25.0; else {install}; fi')
    build(CONTROL_PLANE, to=silent)
    assert cache(CONTROL_PLANE) == tmp_path / "cache" / "bin" / CONTROL_PLANE.version
    assert find(CONTROL_PLANE) == {name: cache(CONTROL_PLANE) / name for name in CONTROL_PLANE.versions}


def test_kubebuilder_assets_come_first_then_the_cache_then_path(
    bare_machine: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    on_path = script(bare_machine, "kubectl", "echo Client Version: v1.34.1")
    assert find(CONTROL_PLANE) == {"kubectl": on_path}
    cached = script(cache(CONTROL_PLANE), "kubectl", "")
    assert find(CONTROL_PLANE) == {"kubectl": cached}
    asset = script(tmp_path / "assets", "kubectl", "")
    monkeypatch.setenv("KUBEBUILDER_ASSETS", str(tmp_path / "assets"))
    assert find(CONTROL_PLANE) == {"kubectl": asset}


def test_a_program_of_another_version_on_path_is_not_taken(bare_machine: Path) -> None:
    script(bare_machine, "kubectl", "echo Client Version: v1.32.4")
    script(bare_machine, "etcd", "echo etcd Version: 3.6.4")
    assert set(find(CONTROL_PLANE)) == {"etcd"}


@pytest.mark.parametrize("name", sorted(BUNDLES))
def test_every_module_is_pinned_by_hash(name: str) -> None:
    folder = BUNDLES[name].folder
    assert f"{BUNDLES[name].module} v{BUNDLES[name].version} h1:" in (folder / "go.sum").read_text()


def test_the_control_plane_and_the_load_tools_do_not_share_a_cache_folder() -> None:
    assert cache(CONTROL_PLANE) != cache(LOAD)
