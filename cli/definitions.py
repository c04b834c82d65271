"""CustomResourceDefinition files: kinds that are not built in, with their plurals and scopes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

from cli.decode import Misfit, list_of, mapping, misplaced
from cli.documents import load_paths, require_object
from cli.errors import InputError
from cli.kinds import Kinds, with_definitions
from cli.yaml_load import Document

KIND = "CustomResourceDefinition"


class Definitions(NamedTuple):
    """The built-in kinds and those of the files, and what could not be read of them."""

    kinds: Kinds
    errors: list[InputError]


def load_definitions(paths: Iterable[str]) -> Definitions:
    """The kinds that files and folders define; a document that is no definition is an error."""
    loaded = load_paths(paths)
    found: list[dict[str, Any]] = []
    errors = list(loaded.errors)
    for document in loaded.documents:
        try:
            found.append(_definition(document))
        except InputError as error:
            errors.append(error)
    return Definitions(with_definitions(found), errors)


def _definition(document: Document) -> dict[str, Any]:
    value = require_object(document)
    try:
        if value["kind"] != KIND:
            raise Misfit("kind", f"`{value['kind']}` is no {KIND}")
        spec = mapping(value.get("spec"), "spec")
        mapping(spec.get("names"), "spec.names")
        list_of(mapping)(spec.get("versions"), "spec.versions")
    except Misfit as misfit:
        raise misplaced(document, misfit) from None
    return value
