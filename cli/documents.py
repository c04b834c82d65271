"""Arguments that name files, folders, URLs or standard input, to documents."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from cli.decode import Misfit, kubernetes_object, misplaced
from cli.errors import InputError
from cli.kustomize import KUSTOMIZATIONS, rendered, to_render
from cli.yaml_load import STDIN, Document, load_file

EXTENSIONS = (".yaml", ".yml", ".json")


class Loaded(NamedTuple):
    """What could be read, and what was wrong with the rest."""

    documents: list[Document]
    errors: list[InputError]


def load_paths(paths: Iterable[str], *, unique: bool = False, json: bool = True) -> Loaded:
    """The documents of all paths, in their order; `v1 List` is unpacked. Each file is read once."""
    documents: list[Document] = []
    errors: list[InputError] = []
    for path in dict.fromkeys(paths):
        found = load_path(path, unique=unique, json=json)
        documents += found.documents
        errors += found.errors
    return Loaded(documents, errors)


def load_path(path: str, *, unique: bool = False, json: bool = True) -> Loaded:
    """The documents of one file, folder (recursively, names that start with a dot are left out), kustomization, URL or `-`."""
    try:
        if path.startswith(("http://", "https://")):
            from cli.remote import fetch

            return fetch(path, unique=unique)
        folder = to_render(path)
        if folder is not None:
            made, faults = rendered(path, folder, unique=unique)
            return Loaded(list(unpacked(made)), faults)
        files = list(files_of(path, json=json))
    except InputError as error:
        return Loaded([], [error])
    documents: list[Document] = []
    errors: list[InputError] = []
    for file in files:
        read, faults = load_file(file, unique=unique)
        documents += unpacked(read)
        errors += faults
    return Loaded(documents, errors)


def files_of(path: str, *, json: bool = True) -> Iterator[str]:
    """The files that a path stands for, by name. Raises `InputError` for one that does not exist."""
    if not os.path.isdir(path):
        if path != STDIN and not os.path.exists(path):
            raise InputError(path, "no such file or folder")
        yield path  # a pipe too: `-r <(kustomize build)`
        return
    extensions = EXTENSIONS if json else EXTENSIONS[:2]
    for folder, folders, names in os.walk(path):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            # a kustomization says how the files beside it are put together, it is none of them
            if not name.startswith(".") and name.endswith(extensions) and name not in KUSTOMIZATIONS:
                yield os.path.join(folder, name)


def unpacked(documents: Iterable[Document]) -> Iterator[Document]:
    """The documents, and of every list its items: of a `List`, also within another, and of a `PodList` as API servers send it.

    Items of a `PodList` do not say what they are: they get its apiVersion, and its kind without `List`.
    """
    for document in documents:
        value = document.value
        kind = value.get("kind") if isinstance(value, dict) else None
        items = value.get("items") if isinstance(kind, str) and kind.endswith("List") else None
        if kind == "List" and value.get("apiVersion") == "v1" and items is None:
            continue
        if not isinstance(items, list):
            yield document
            continue
        common = {"apiVersion": value.get("apiVersion"), "kind": str(kind).removesuffix("List")} if kind != "List" else {}
        for index, item in enumerate(items):
            whole = {**common, **item} if isinstance(item, dict) else item
            yield from unpacked([document._replace(value=whole, inside=document.path(f"items[{index}]"))])


def require_object(document: Document) -> dict[str, Any]:
    """The document as a Kubernetes object: a map with apiVersion and kind, its metadata in order. Raises `InputError`."""
    try:
        return kubernetes_object(document.value, "")
    except Misfit as misfit:
        raise misplaced(document, misfit) from None
