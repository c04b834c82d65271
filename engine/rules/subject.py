"""Which object a check looks at: the request's, unless foreach or a mutate target hands over another."""

from __future__ import annotations

from typing import Any

from engine.scope import Scope, SubjectScope

__all__ = ["SubjectScope", "is_handed_over", "subject_of", "whole_of"]


def subject_of(scope: Scope) -> Any:
    """The value a check in `scope` has to judge."""
    holder = _holder(scope)
    return scope.request.subject if holder is None else holder.subject


def is_handed_over(scope: Scope) -> bool:
    """Did somebody hand over an object to judge, other than the request's own?"""
    return _holder(scope) is not None


def whole_of(scope: Scope) -> tuple[Any, str]:
    """The object handed over, or of which a part was handed over; and the name of that subresource."""
    holder = _holder(scope)
    return (None, "") if holder is None else (holder.whole, holder.part)


def _holder(scope: Scope) -> SubjectScope | None:
    node: Scope | None = scope
    while node is not None and not isinstance(node, SubjectScope):
        node = node.parent
    return node
