"""Kustomize folders: rendered by `kubectl kustomize` or `kustomize`, unless they only list the files that are in them."""

from __future__ import annotations

import os
from typing import Any

from cli.errors import InputError
from cli.kubectl import Failed, find, run
from cli.yaml_load import Document, load_file, load_text

KUSTOMIZATIONS = ("kustomization.yaml", "kustomization.yml", "Kustomization")
_LISTING = frozenset({"apiVersion", "kind", "metadata", "resources"})


def to_render(path: str) -> str | None:
    """The folder that kustomize must render, where `path` is a kustomization or a folder with one.

    None for everything else, and for a folder whose kustomization adds nothing to the files below it: those are read as
    they are, so that errors name the file and line that a person wrote.
    """
    if os.path.basename(path) in KUSTOMIZATIONS and os.path.isfile(path):
        return os.path.dirname(path) or "."
    kustomization = _of(path)
    return None if kustomization is None or _lists(path, kustomization) else path


def _of(folder: str) -> str | None:
    files = (os.path.join(folder, name) for name in KUSTOMIZATIONS)
    return next(filter(os.path.isfile, files), None)


def _lists(folder: str, kustomization: str) -> bool:
    """Does it list files and folders below it, and nothing else?"""
    documents, _ = load_file(kustomization)
    value: Any = documents[0].value if len(documents) == 1 else None
    if not isinstance(value, dict) or not value.keys() <= _LISTING:
        return False
    entries = value.get("resources") or []
    return isinstance(entries, list) and all(isinstance(entry, str) and _is_below(folder, entry) for entry in entries)


def _is_below(folder: str, entry: str) -> bool:
    path = os.path.join(folder, entry)
    # really below it, `.` and links upwards are not: this ends, as each folder lies deeper than the one that lists it
    if not os.path.exists(path) or not os.path.realpath(path).startswith(os.path.join(os.path.realpath(folder), "")):
        return False
    nested = _of(path)
    return nested is None or _lists(path, nested)


def rendered(path: str, folder: str, *, unique: bool = False) -> tuple[list[Document], list[InputError]]:
    """The documents that kustomize makes of `folder`; their file is `path`. Raises `InputError` where it cannot."""
    program = find("kubectl", "kustomize")
    if program is None:
        raise InputError(path, "a kustomization needs `kubectl` or `kustomize` on PATH, and neither is there")
    verb = "build" if os.path.basename(program).startswith("kustomize") else "kustomize"
    try:
        text = run(program, [verb, folder])
    except Failed as failed:
        raise InputError(path, str(failed)) from None
    return load_text(text, path, unique=unique)
