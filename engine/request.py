"""The one question: an admission review, a scan of a stored object, an UpdateRequest's trigger, a cleanup candidate."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

Object = dict[str, Any]


class GroupVersionKind(NamedTuple):
    group: str
    version: str
    kind: str


class GroupVersionResource(NamedTuple):
    group: str
    version: str
    resource: str


@dataclass(frozen=True, slots=True)
class User:
    """Who asks. `roles` are `namespace:name`, as bindings resolve them; `extra` as in userInfo."""

    username: str = ""
    groups: tuple[str, ...] = ()
    roles: tuple[str, ...] = ()
    cluster_roles: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One question to the policies.

    `object` is None on DELETE; `old_object` is None on CREATE. `user` is None where nobody asked (background scan, CLI
    without user info): criteria on users are then dropped (spec 2.1). `namespace_labels` are the labels of the object's
    namespace, None when unknown or cluster-scoped. `document` is the AdmissionRequest as `{{ request.* }}` sees it.
    `now` (Unix nanoseconds) and `seed` keep a repeated evaluation equal to the first.
    `variables` are root names given from outside (a values file of the CLI): a map is merged over a predefined variable of
    that name, any other value replaces it. `rule_variables`: the same for a written rule, by its name. Context entries see
    both; an entry whose data would come from outside gives way to a variable of its name.
    """

    operation: str
    kind: GroupVersionKind
    object: Object | None
    old_object: Object | None = None
    resource: GroupVersionResource | None = None
    subresource: str = ""
    namespace: str = ""
    name: str = ""
    user: User | None = None
    namespace_labels: Mapping[str, str] | None = None
    dry_run: bool = False
    uid: str = ""
    document: Object = field(default_factory=dict)
    variables: Mapping[str, Any] = field(default_factory=dict)
    rule_variables: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    now: int = 0
    seed: int = 0

    def gives(self, variable: str) -> bool:
        """Is there a value from outside for a name?"""
        if not (self.variables or self.rule_variables):
            return False
        return variable in self.variables or any(variable in given for given in self.rule_variables.values())

    @property
    def subject(self) -> Object:
        """The object that rules look at: the new one, or on DELETE the old one."""
        return self.object if self.object is not None else (self.old_object or {})


def kind_of(document: Mapping[str, Any]) -> GroupVersionKind:
    """The GVK that a manifest's apiVersion and kind name."""
    group, _, version = str(document.get("apiVersion") or "").rpartition("/")
    return GroupVersionKind(group, version, str(document.get("kind") or ""))
