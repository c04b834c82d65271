"""kubectl and kustomize as programs: whatever a cluster or a kustomization says comes through them."""

from __future__ import annotations

import glob
import os
import shlex
import shutil
import subprocess
from collections.abc import Sequence

CACHE = os.path.join("bin", "*", "kubectl")
TIMEOUT_S = 300


class Failed(Exception):
    """A program that is not there or that failed; the text names the command and quotes its last words."""


def find(*names: str) -> str | None:
    """The first of the programs that is on PATH; of kubectl also the one that `make tools` keeps."""
    for name in names:
        found = shutil.which(name)
        if found is not None:
            return found
    root = os.environ.get("PYVERN_CACHE") or os.path.expanduser("~/.cache/pyvern")
    kept = sorted(filter(shutil.which, glob.glob(os.path.join(root, CACHE)))) if "kubectl" in names else []
    return kept[-1] if kept else None


def run(program: str, arguments: Sequence[str], given: str = "") -> str:
    """What the program writes; `given` is its standard input. Raises `Failed`."""
    shown = shlex.join([os.path.basename(program), *arguments])
    try:
        done = subprocess.run([program, *arguments], input=given.encode(), capture_output=True, timeout=TIMEOUT_S, check=False)
    except subprocess.TimeoutExpired:
        raise Failed(f"`{shown}`: no answer within {TIMEOUT_S} s") from None
    except OSError as error:
        raise Failed(f"`{shown}`: {(error.strerror or str(error)).lower()}") from None
    if done.returncode:
        said = " ".join(done.stderr.decode("utf-8", "replace").split())
        raise Failed(f"`{shown}`: {said or f'exit status {done.returncode}'}")
    return done.stdout.decode("utf-8", "replace")
