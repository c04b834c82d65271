"""match and exclude attribute by attribute, asked of the same compiled blocks as the engine's."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from engine.clauses.block import compile_block
from engine.clauses.match_shape import BLOCK_FIELDS, RESOURCE_FIELDS
from engine.explain.step import ABSENT, Step
from engine.request import Object, Request

USER_FIELDS = ("roles", "clusterRoles", "subjects")


def clause_step(title: str, document: Mapping[str, Any], request: Request, object_: Object, path: str) -> Step:
    """One clause, asked of one object of the request. `title` is `match` or `exclude`."""
    excluding = title == "exclude"
    for key, combined in (("any", any), ("all", all)):
        if document.get(key):
            steps = tuple(
                _block_step(f"{key}[{index}]", block, request, object_, f"{path}.{key}[{index}]", excluding=excluding)
                for index, block in enumerate(document[key])
            )
            return Step(title, combined(bool(step.holds) for step in steps), path, steps=steps)
    if any(document.get(key) for key in BLOCK_FIELDS):
        block = {key: document[key] for key in BLOCK_FIELDS if document.get(key)}
        return _block_step(title, block, request, object_, path, excluding=excluding)
    return Step(title, False, path, note="empty, holds for nothing")


def _block_step(title: str, block: Mapping[str, Any], request: Request, object_: Object, path: str, *, excluding: bool) -> Step:
    holds = compile_block(block, path, excluding=excluding).test(request, object_)
    steps = tuple(_attributes(block, request, object_, path, excluding=excluding))
    return Step(title, holds, path, note="" if steps else "empty, holds for nothing", steps=steps)


def _attributes(block: Mapping[str, Any], request: Request, object_: Object, path: str, *, excluding: bool) -> Iterator[Step]:
    resources = block.get("resources") or {}
    for key in RESOURCE_FIELDS:
        if resources.get(key) in (None, "", [], {}) and not (key.endswith("elector") and resources.get(key) == {}):
            continue
        criterion = {"resources": {key: resources[key]}}
        holds = compile_block(criterion, path, excluding=excluding).test(request, object_)
        yield Step(key, holds, f"{path}.resources.{key}", wanted=resources[key], found=FOUND[key](request, object_))
    for key in USER_FIELDS:
        if not block.get(key):
            continue
        if request.user is None and not excluding:
            note = "nobody asks (no user info given)" + (", so it does not count" if resources else "")
            yield Step(key, bool(resources), f"{path}.{key}", wanted=block[key], note=note)
            continue
        holds = compile_block({key: block[key]}, path, excluding=excluding).test(request, object_)
        yield Step(key, holds, f"{path}.{key}", wanted=block[key], found=FOUND[key](request, object_))


def _kind(request: Request, _: Object) -> Any:
    kind = request.kind
    front = f"{kind.group}/{kind.version}" if kind.group else kind.version
    text = f"{front}/{kind.kind}" if front else kind.kind
    return f"{text}/{request.subresource}" if request.subresource else text


def _metadata(*names: str) -> Callable[[Request, Object], Any]:
    def read(_: Request, object_: Object) -> Any:
        metadata = object_.get("metadata")
        for name in names:
            if isinstance(metadata, dict) and metadata.get(name):
                return metadata[name]
        return ABSENT

    return read


def _namespace(request: Request, object_: Object) -> Any:
    return _metadata("name")(request, object_) if request.kind.kind == "Namespace" else request.namespace


def _user(request: Request, _: Object) -> Any:
    return {"username": request.user.username, "groups": list(request.user.groups)} if request.user else ABSENT


FOUND: dict[str, Callable[[Request, Object], Any]] = {
    "kinds": _kind,
    "operations": lambda request, _: request.operation,
    "name": _metadata("name", "generateName"),
    "names": _metadata("name", "generateName"),
    "namespaces": _namespace,
    "annotations": _metadata("annotations"),
    "selector": _metadata("labels"),
    "namespaceSelector": lambda request, _: ABSENT if request.namespace_labels is None else dict(request.namespace_labels),
    "roles": lambda request, _: list(request.user.roles) if request.user else ABSENT,
    "clusterRoles": lambda request, _: list(request.user.cluster_roles) if request.user else ABSENT,
    "subjects": _user,
}
"""What the request has where an attribute of a block asks for something."""
