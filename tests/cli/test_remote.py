"""Policies from git repositories, cloned by the git program."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from cli.errors import UsageError
from cli.remote import checked_out, repository
from tests.cli.program import pyvern
from tests.cli.test_apply import POD, POLICY

pytestmark = pytest.mark.skipif(shutil.which("git") is None, reason="git is not there")


@pytest.fixture
def url(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """What stands for a host's repository `owner/policies`: git is told to take a local one instead, its branch is `trunk`."""
    source = tmp_path / "source"
    (source / "best/labels").mkdir(parents=True)
    (source / "best/labels/policy.yaml").write_text(POLICY)
    (tmp_path / "pod.yaml").write_text(POD)
    author = ("-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false")
    for arguments in (("init", "-q", "-b", "trunk"), ("add", "."), (*author, "commit", "-q", "-m", "policies")):
        subprocess.run(["git", "-C", source, *arguments], check=True)
    monkeypatch.setenv("GIT_CONFIG_COUNT", "1")
    monkeypatch.setenv("GIT_CONFIG_KEY_0", f"url.{source.as_uri()}.insteadOf")
    monkeypatch.setenv("GIT_CONFIG_VALUE_0", "https://git.example.org/owner/policies")
    monkeypatch.chdir(tmp_path)
    return "https://git.example.org/owner/policies"


def test_the_branch_stands_in_the_url_or_in_a_flag(url: str) -> None:
    for arguments in ((f"{url}/trunk/best/labels",), (f"{url}/best", "-b", "trunk"), (url,)):
        ran = pyvern("apply", *arguments, "-r", "pod.yaml")
        assert "policy require-labels -> resource default/Pod/badpod failed:" in ran.out, ran.err


def test_what_git_says_is_shown(url: str) -> None:
    ran = pyvern("apply", f"{url}/nowhere/best", "-r", "pod.yaml")
    assert ran.status == 1
    assert ran.err.startswith(f"Error: {url}: git: ")
    assert "nowhere" in ran.err


def test_a_folder_that_the_repository_does_not_have_is_named(url: str) -> None:
    ran = pyvern("apply", f"{url}/trunk/worst", "-r", "pod.yaml")
    assert ran.status == 1
    assert "worst: no such file or folder" in ran.err


def test_nothing_is_left_behind(url: str) -> None:
    with checked_out([f"{url}/trunk/best"]) as (folder,):
        assert (Path(folder) / "labels/policy.yaml").is_file()
    assert not Path(folder).exists()


def test_a_url_names_a_repository() -> None:
    assert repository("https://h/o/r.git/main/a/b", "") == ("https://h/o/r", "main", "a/b")
    with pytest.raises(UsageError, match="a git URL is"):
        repository("https://h/o", "")
