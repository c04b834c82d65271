"""Which object a check looks at: the request's, unless foreach or a mutate target hands over another."""

from __future__ import annotations

from typing import Any

from engine.scope import Scope


class SubjectScope(Scope):
    """A child scope whose checks look at `subject` (any JSON value) instead of the request's object."""

    __slots__ = ("subject",)

    def __init__(self, parent: Scope, subject: Any) -> None:
        super().__init__(parent.request, facts=parent.facts, parent=parent)
        self.subject = subject


def subject_of(scope: Scope) -> Any:
    """The value a check in `scope` has to judge."""
    node: Scope | None = scope
    while node is not None:
        if isinstance(node, SubjectScope):
            return node.subject
        node = node.parent
    return scope.request.subject


def is_handed_over(scope: Scope) -> bool:
    """Did somebody hand over an object to judge, other than the request's own?"""
    node: Scope | None = scope
    while node is not None and not isinstance(node, SubjectScope):
        node = node.parent
    return node is not None
