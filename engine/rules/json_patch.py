"""mutate.patchesJson6902: a JSON Patch in YAML or JSON, as text with variables (spec 2.7)."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from engine.clauses.template import compile_template
from engine.document.patch import OPERATIONS, PatchError, apply_patch
from engine.document.spine import KYVERNO
from engine.errors import EvaluationError, InvalidPolicy
from engine.lang import go_json
from engine.request import Object
from engine.rules.patching import Patch
from engine.scope import Scope

Operations = Sequence[dict[str, Any]]


class _InvalidPatch(Exception):
    """A text that is no JSON Patch: `at` is the place in it (`[0].path`), `reason` Kyverno's."""

    def __init__(self, reason: str, at: str = "") -> None:
        super().__init__(reason)
        self.reason = reason
        self.at = at


def compile_patch(spec: str, *, path: str, at: str) -> Patch:
    """Compiles the value of `patchesJson6902`; `at` is the pointer that messages about its variables start from.

    A text without variables is checked now and raises `InvalidPolicy`; the patch raises `EvaluationError` where a variable has
    no value and where an operation does not apply.
    """
    template = compile_template(spec, path=path, at=at)
    ready: Operations | None = None
    if template.constant:
        try:
            ready = _parsed(template.value)
        except _InvalidPatch as error:
            raise InvalidPolicy(f"{path}{error.at}", error.reason) from error

    def operations(scope: Scope) -> Operations:
        if ready is not None:
            return ready
        try:
            text = template(scope)
        except EvaluationError as error:
            raise EvaluationError(f"variable substitution failed: {error}") from error
        try:
            return _parsed(text)
        except _InvalidPatch as error:
            raise EvaluationError(f"failed to patch resource: {error}") from error

    def patch(scope: Scope, subject: Object) -> Object:
        try:
            patched: Object = apply_patch(subject, operations(scope), KYVERNO)
        except PatchError as error:
            raise EvaluationError(f"failed to patch resource: {error.reason}") from error
        if not isinstance(patched, dict):
            raise EvaluationError("failed to patch resource: the patch leaves no object")
        return subject if _same_text(patched, subject) else patched

    return patch


def _same_text(a: Any, b: Any) -> bool:
    """Are two documents written alike? The order of keys counts: a `move` onto itself is a change (spec 9.8)."""
    if a is b:
        return True
    if isinstance(a, dict) and isinstance(b, dict):
        return list(a) == list(b) and all(_same_text(a[key], b[key]) for key in a)
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(map(_same_text, a, b))
    return type(a) is type(b) and bool(a == b)


def _parsed(text: Any) -> Operations:
    """The operations that a text writes; a text that starts like a list is JSON."""
    value = _value(text) if isinstance(text, str) else text
    if value is None:
        return ()
    if not isinstance(value, list):
        raise _InvalidPatch(f"json: cannot unmarshal {_json_kind(value)} into Go value of type jsonpatch.Patch")
    for index, operation in enumerate(value):
        _check(operation, f"[{index}]")
    return value


def _value(text: str) -> Any:
    if text.lstrip().startswith("["):
        try:
            return json.loads(text)
        except ValueError:
            pass  # a list in YAML's flow style
    from engine.lang import yaml_value  # PyYAML takes long to import, and most patches need it only when they are compiled

    try:
        return yaml_value.load(text)
    except yaml_value.InvalidYAML as error:
        raise _InvalidPatch(str(error)) from error


def _check(operation: Any, at: str) -> None:
    if not isinstance(operation, dict):
        raise _InvalidPatch(f"json: cannot unmarshal {_json_kind(operation)} into Go value of type jsonpatch.Operation", at)
    name, path = operation.get("op"), operation.get("path")
    text = go_json.dumps(operation)
    if name not in OPERATIONS:
        raise _InvalidPatch(f"invalid operation {text}: unsupported operation", at)
    if name in ("add", "replace", "test") and "value" not in operation:
        reason = "failed to decode 'value': operation, missing value field: missing value"
        raise _InvalidPatch(f"invalid operation {text}: {reason}", at)
    if not isinstance(path, str):
        raise _InvalidPatch(f"invalid operation {text}: failed to decode 'path': operation missing path field: missing value", at)
    if not path.startswith("/"):
        raise _InvalidPatch("path must begin with a forward slash", f"{at}.path")
    if name in ("move", "copy") and not isinstance(operation.get("from"), str):
        raise _InvalidPatch(
            f"invalid operation {text}: failed to decode 'from': operation, missing from field: missing value", at
        )


def _json_kind(value: Any) -> str:
    kinds = {dict: "object", list: "array", str: "string", bool: "bool"}
    return kinds.get(type(value), "number")
