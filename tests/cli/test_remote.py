"""Policies from git repositories, cloned by the git program."""

from __future__ import annotations

import base64
import http.server
import shutil
import subprocess
import threading
from pathlib import Path

import pytest

from cli.errors import UsageError
from cli.remote import checked_out, is_repository, repository
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


def test_a_repository_on_disk_is_cloned_too(url: str, tmp_path: Path) -> None:
    source = (tmp_path / "source").as_uri()
    subprocess.run(["git", "clone", "-q", "--bare", source, tmp_path / "bare.git"], check=True)
    bare = str(tmp_path / "bare.git")
    for arguments in (
        (f"{source}/trunk/best",),
        (f"file://{bare}/best/labels", "-b", "trunk"),
        (bare,),
        ("bare.git/trunk/best",),
    ):
        ran = pyvern("apply", *arguments, "-r", "pod.yaml")
        assert "policy require-labels -> resource default/Pod/badpod failed:" in ran.out, ran.err
    missing = (tmp_path / "nothing").as_uri()
    ran = pyvern("apply", missing, "-r", "pod.yaml")
    assert (ran.status, ran.err) == (1, f"Error: {missing}: there is no git repository\n")


@pytest.mark.parametrize("path", [".", "..", "/", "./nowhere/x", "../x/y", "policy.yaml", ""])
def test_other_paths_are_files_and_folders(path: str) -> None:
    assert not is_repository(path)


def test_ssh_addresses_end_with_git() -> None:
    assert repository("git@h:o/r.git/main/a", "") == ("git@h:o/r.git", "main", "a")
    assert repository("ssh://h/o/r.git/a/b", "main") == ("ssh://h/o/r.git", "main", "a/b")


def test_credentials_reach_the_host_and_are_no_arguments(tmp_path: Path) -> None:
    asked: list[str | None] = []

    class Host(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.headers["Authorization"])
            self.send_error(404)

        def log_message(self, format: str, *args: object) -> None:
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Host) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        url = f"http://127.0.0.1:{server.server_port}/owner/policies"
        ran = pyvern("apply", url, "-r", "pod.yaml", "--username", "ann", "--password", "secret")
        server.shutdown()
        thread.join()
    assert asked[0] == "Basic " + base64.b64encode(b"ann:secret").decode()
    assert ran.status == 1
    assert "secret" not in ran.err
