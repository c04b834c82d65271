"""Kubernetes' `authorizer`: builds a question step by step, `check` asks it of whoever made the value."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from engine.lang.cel.functions import Library, Overload
from engine.lang.cel.kinds import BOOL, STRING
from engine.lang.cel.values import Opaque

AUTHORIZER = "kubernetes.authorization.Authorizer"
PATH_CHECK = "kubernetes.authorization.PathCheck"
GROUP_CHECK = "kubernetes.authorization.GroupCheck"
RESOURCE_CHECK = "kubernetes.authorization.ResourceCheck"
DECISION = "kubernetes.authorization.Decision"


@dataclass(frozen=True, slots=True)
class Access:
    """What is asked: may this user (the request's, or a service account) use a verb on a path or a resource?"""

    service_account: tuple[str, str] | None = None
    path: str = ""
    group: str = ""
    resource: str = ""
    subresource: str = ""
    namespace: str = ""
    name: str = ""
    field_selector: str = ""
    label_selector: str = ""
    verb: str = ""


@dataclass(frozen=True, slots=True)
class Decision(Opaque):
    """The answer. `error` is set where the question could not be answered."""

    allowed: bool
    reason: str = ""
    error: str = ""
    kind: ClassVar[str] = DECISION


Decide = Callable[[Access], Decision]
"""Answers a question; may raise `CelError` or whatever the caller of the program expects."""


@dataclass(frozen=True, slots=True)
class Authorizer(Opaque):
    """The value of the variable `authorizer`."""

    decide: Decide
    access: Access = Access()
    kind: ClassVar[str] = AUTHORIZER


class PathCheck(Authorizer):
    """A question about a path that is no resource."""

    __slots__ = ()
    kind: ClassVar[str] = PATH_CHECK


class GroupCheck(Authorizer):
    """A question that still lacks its resource."""

    __slots__ = ()
    kind: ClassVar[str] = GROUP_CHECK


class ResourceCheck(Authorizer):
    """A question about a resource; the value of `authorizer.requestResource` is one."""

    __slots__ = ()
    kind: ClassVar[str] = RESOURCE_CHECK


def _step(cls: type[Authorizer], field: str) -> Callable[[Authorizer, str], Authorizer]:
    def step(check: Authorizer, value: str) -> Authorizer:
        changes: dict[str, Any] = {field: value}
        return cls(check.decide, replace(check.access, **changes))

    return step


def _check(check: Authorizer, verb: str) -> Decision:
    return check.decide(replace(check.access, verb=verb))


def _service_account(check: Authorizer, namespace: str, name: str) -> Authorizer:
    return Authorizer(check.decide, replace(check.access, service_account=(namespace, name)))


def _on_resource(field: str) -> tuple[Overload, ...]:
    return (Overload((RESOURCE_CHECK, STRING), RESOURCE_CHECK, _step(ResourceCheck, field)),)


LIBRARY = Library(
    "kubernetes.authz",
    functions={},
    members={
        "path": (Overload((AUTHORIZER, STRING), PATH_CHECK, _step(PathCheck, "path")),),
        "group": (Overload((AUTHORIZER, STRING), GROUP_CHECK, _step(GroupCheck, "group")),),
        "serviceAccount": (Overload((AUTHORIZER, STRING, STRING), AUTHORIZER, _service_account),),
        "resource": (Overload((GROUP_CHECK, STRING), RESOURCE_CHECK, _step(ResourceCheck, "resource")),),
        "subresource": _on_resource("subresource"),
        "namespace": _on_resource("namespace"),
        "name": _on_resource("name"),
        "fieldSelector": _on_resource("field_selector"),
        "labelSelector": _on_resource("label_selector"),
        "check": (
            Overload((RESOURCE_CHECK, STRING), DECISION, _check),
            Overload((PATH_CHECK, STRING), DECISION, _check),
        ),
        "allowed": (Overload((DECISION,), BOOL, lambda decision: decision.allowed),),
        "reason": (Overload((DECISION,), STRING, lambda decision: decision.reason),),
        "errored": (Overload((DECISION,), BOOL, lambda decision: bool(decision.error)),),
        "error": (Overload((DECISION,), STRING, lambda decision: decision.error),),
    },
    types=(AUTHORIZER, PATH_CHECK, GROUP_CHECK, RESOURCE_CHECK, DECISION),
)
