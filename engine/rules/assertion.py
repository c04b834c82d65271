"""validate.assert: accepted and without effect, as in Kyverno since 1.19 (spec 2.6, chainsaw area assert)."""

from __future__ import annotations

from typing import Any

from engine.clauses.template import Template
from engine.policy import Check
from engine.result import Outcome
from engine.scope import Scope


def compile_check(_spec: Any, *, rule: str, message: Template | None, path: str) -> Check:
    """A check that never gives a row."""
    del rule, message, path
    return _silent


def _silent(_scope: Scope) -> Outcome | None:
    return None
