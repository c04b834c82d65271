"""Policies and tests from elsewhere: files over HTTP, folders of git repositories through the git program."""

from __future__ import annotations

import base64
import os
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple
from urllib.parse import urlsplit

from cli.documents import EXTENSIONS, Loaded, unpacked
from cli.errors import InputError, UsageError
from cli.yaml_load import load_text

TIMEOUT_S = 60
MAX_BYTES = 64 * 1024 * 1024
SCHEMES = ("http://", "https://")
OTHER_SCHEMES = ("file://", "ssh://", "git@")


class Repository(NamedTuple):
    """What a git URL means: the repository, the branch (empty: its default one), and a folder in it."""

    url: str
    branch: str
    folder: str


class Credentials(NamedTuple):
    """Who asks for git repositories over HTTP; nobody where both are empty."""

    username: str = ""
    password: str = ""


NOBODY = Credentials()


def fetch(url: str, *, unique: bool = False) -> Loaded:
    """The documents of a file at a URL."""
    import urllib.error
    import urllib.request

    try:
        with urllib.request.urlopen(url, timeout=TIMEOUT_S) as response:
            content: bytes = response.read(MAX_BYTES + 1)
    except urllib.error.HTTPError as error:
        return Loaded([], [InputError(url, f"HTTP {error.code} {error.reason}")])
    except OSError as error:
        return Loaded([], [InputError(url, str(getattr(error, "reason", error)).lower())])
    if len(content) > MAX_BYTES:
        return Loaded([], [InputError(url, f"more than {MAX_BYTES} bytes")])
    documents, errors = load_text(content.decode("utf-8-sig", "replace"), url, unique=unique)
    return Loaded(list(unpacked(documents)), errors)


def is_repository(path: str) -> bool:
    """Is it a git URL, or a folder in a bare repository? An HTTP URL that does not end like a file is one."""
    if path.startswith(SCHEMES):
        return not urlsplit(path).path.endswith(EXTENSIONS)
    return path.startswith(OTHER_SCHEMES) or (not os.path.exists(os.path.join(path, ".git")) and _on_disk(path, bare=True) != "")


def repository(url: str, branch: str) -> Repository:
    """`https://host/owner/repo/branch/folder`, or with `branch` `https://host/owner/repo/folder`. Raises `UsageError`.

    The same with `file:///folders/of/repo`, `ssh://…` and `git@host:…`, and with a bare repository on disk. There the name of the
    repository ends with `.git`, or it is found on disk.
    """
    address, steps = _parted(url)
    if not branch and steps:
        branch, *steps = steps
    return Repository(address, branch, "/".join(steps))


def _parted(url: str) -> tuple[str, list[str]]:
    """The repository's address, and the names behind it."""
    if url.startswith(SCHEMES):
        split = urlsplit(url)
        steps = [step for step in split.path.split("/") if step]
        if len(steps) < 2:
            raise UsageError(f"{url}: a git URL is https://host/owner/repository/branch/folder, or --git-branch says the branch")
        return f"{split.scheme}://{split.netloc}/{steps[0]}/{steps[1].removesuffix('.git')}", steps[2:]
    if url.startswith(("ssh://", "git@")):
        name, git, rest = url.partition(".git")
        return f"{name}{git}", [step for step in rest.split("/") if step]
    path = url.removeprefix("file://")
    found = _on_disk(path)
    if not found:
        raise UsageError(f"{url}: there is no git repository")
    return f"file://{os.path.abspath(found)}", [step for step in path[len(found) :].split("/") if step]


def _on_disk(path: str, *, bare: bool = False) -> str:
    """The folder on the way to `path` that is a repository, or nothing."""
    here = path.rstrip("/")
    while os.path.basename(here) not in ("", ".", ".."):
        if all(os.path.exists(os.path.join(here, part)) for part in ("HEAD", "objects", "refs")):
            return here
        if not bare and os.path.exists(os.path.join(here, ".git")):
            return here
        if os.path.exists(here) and bare:
            return ""
        here = os.path.dirname(here)
    return ""


@contextmanager
def checked_out(paths: Sequence[str], branch: str = "", credentials: Credentials = NOBODY) -> Iterator[tuple[str, ...]]:
    """The paths, git URLs replaced by folders that exist within the `with` block. Raises `UsageError` where git fails."""
    if not any(map(is_repository, paths)):
        yield tuple(paths)
        return
    with tempfile.TemporaryDirectory(prefix="pyvern-git-") as folder:
        clones: dict[tuple[str, str], str] = {}
        local = []
        for path in paths:
            if not is_repository(path):
                local.append(path)
                continue
            wanted = repository(path, branch)
            key = wanted.url, wanted.branch
            if key not in clones:
                clones[key] = os.path.join(folder, str(len(clones)))
                _clone(wanted, clones[key], credentials)
            local.append(os.path.join(clones[key], wanted.folder))
        yield tuple(local)


def _clone(wanted: Repository, folder: str, credentials: Credentials) -> None:
    branch = ["--branch", wanted.branch] if wanted.branch else []
    command = ["git", "clone", "--quiet", "--depth", "1", *branch, "--", wanted.url, folder]
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S * 5,
            check=False,
            env={**os.environ, "GIT_TERMINAL_PROMPT": "0", **_authorization(wanted.url, credentials)},
        )
    except OSError as error:
        raise UsageError(f"{wanted.url}: git cannot be run: {(error.strerror or str(error)).lower()}") from None
    except subprocess.TimeoutExpired as error:
        raise UsageError(f"{wanted.url}: git did not end within {error.timeout:g} s") from None
    if done.returncode:
        raise UsageError(f"{wanted.url}: git: {' '.join(done.stderr.split())}")


def _authorization(url: str, credentials: Credentials) -> dict[str, str]:
    """Settings of git in the environment, where other users of the machine do not see them as they see arguments."""
    if credentials == NOBODY or not url.startswith(SCHEMES):
        return {}
    split = urlsplit(url)
    count = int(os.environ.get("GIT_CONFIG_COUNT") or 0)
    token = base64.b64encode(":".join(credentials).encode()).decode()
    return {
        "GIT_CONFIG_COUNT": str(count + 1),
        f"GIT_CONFIG_KEY_{count}": f"http.{split.scheme}://{split.netloc}/.extraHeader",
        f"GIT_CONFIG_VALUE_{count}": f"Authorization: Basic {token}",
    }
