"""What a mutation makes of an object: the shape that all kinds of patches compile to, and the outcome of a rule."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from engine.request import Object
from engine.result import Outcome, Status
from engine.scope import Scope

Patch = Callable[[Scope, Object], Object]
"""An object -> the object after the patch, sharing what did not change; the same object where the patch does not apply.

Raises `EvaluationError`; writes to nothing.
"""

UNCHANGED = Outcome(Status.SKIP, "no patches applied")


def mutated(patched: Object) -> Outcome:
    """The outcome of a rule that changed an object."""
    metadata: Any = patched.get("metadata")
    metadata = metadata if isinstance(metadata, dict) else {}
    text = f"mutated {patched.get('kind') or ''}/{metadata.get('name') or ''}"
    namespace = metadata.get("namespace")
    return Outcome(Status.PASS, f"{text} in namespace {namespace}" if namespace else text, patched=patched)
