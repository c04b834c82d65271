"""Policies and tests from elsewhere: files over HTTP, folders of git repositories through the git program."""

from __future__ import annotations

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


class Repository(NamedTuple):
    """What a git URL means: the repository, the branch (empty: its default one), and a folder in it."""

    url: str
    branch: str
    folder: str


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
    """Is it a git URL? An HTTP URL that does not end like a file is one."""
    return path.startswith(SCHEMES) and not urlsplit(path).path.endswith(EXTENSIONS)


def repository(url: str, branch: str) -> Repository:
    """`https://host/owner/repo/branch/folder`, or with `branch` `https://host/owner/repo/folder`. Raises `UsageError`."""
    split = urlsplit(url)
    steps = [step for step in split.path.split("/") if step]
    if len(steps) < 2:
        raise UsageError(f"{url}: a git URL is https://host/owner/repository/branch/folder, or --git-branch says the branch")
    owner, name, *rest = steps
    if not branch and rest:
        branch, *rest = rest
    return Repository(f"{split.scheme}://{split.netloc}/{owner}/{name.removesuffix('.git')}", branch, "/".join(rest))


@contextmanager
def checked_out(paths: Sequence[str], branch: str = "") -> Iterator[tuple[str, ...]]:
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
                _clone(wanted, clones[key])
            local.append(os.path.join(clones[key], wanted.folder))
        yield tuple(local)


def _clone(wanted: Repository, folder: str) -> None:
    branch = ["--branch", wanted.branch] if wanted.branch else []
    command = ["git", "clone", "--quiet", "--depth", "1", *branch, "--", wanted.url, folder]
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S * 5,
            check=False,
            env={**os.environ, "GIT_TERMINAL_PROMPT": "0"},
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise UsageError(f"{wanted.url}: git: {error}") from None
    if done.returncode:
        raise UsageError(f"{wanted.url}: git: {' '.join(done.stderr.split())}")
