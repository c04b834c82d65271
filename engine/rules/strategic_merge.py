"""mutate.patchStrategicMerge: a document with anchors and variables, laid over the object (spec 2.7, 9.2)."""

from __future__ import annotations

from typing import Any

from engine.clauses.template import compile_template
from engine.document.strategic import StrategicMergeError, strategic_merge, wrong_kind
from engine.errors import EvaluationError
from engine.request import Object
from engine.rules.overlay import compile_conditions, has_anchors, overlay, plain
from engine.rules.patching import Patch
from engine.scope import Scope

_NOT_PREPARED = "failed to preProcess rule: "


def compile_patch(spec: Any, *, path: str, at: str) -> Patch:
    """Compiles the value of `patchStrategicMerge`; `at` is the pointer that messages about its variables start from.

    The patch gives the object itself when nothing changes or a condition is not met. It raises `EvaluationError` where a
    variable has no value, and where the shapes of patch and object do not fit.
    """
    template = compile_template(spec, path=path, at=at)
    conditions = compile_conditions(template.value) if template.constant else {}
    ready = _ready(template.value) if template.constant and isinstance(spec, dict) else None

    def patch(scope: Scope, subject: Object) -> Object:
        document = ready
        if document is None:
            try:
                written = template(scope)
            except EvaluationError as error:
                raise EvaluationError(f"variable substitution failed: {error}") from error
            document = _prepared(written, subject)
        try:
            return strategic_merge(subject, document) if document else subject
        except StrategicMergeError as error:
            raise EvaluationError(f"failed to patch resource: {error}") from error

    def _prepared(written: Any, subject: Object) -> Object | None:
        try:
            if not isinstance(written, dict):
                raise wrong_kind("MappingNode", written)
            return overlay(written, subject, conditions)
        except (StrategicMergeError, EvaluationError) as error:
            raise EvaluationError(f"failed to patch resource: {_NOT_PREPARED}{error}") from error

    return patch


def _ready(document: Object) -> Object | None:
    """The patch when it is the same for every object; None when it is not, or fails: it then fails for each object anew."""
    if has_anchors(document):
        return None
    try:
        return plain(document)
    except EvaluationError:
        return None
