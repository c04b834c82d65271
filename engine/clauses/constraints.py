"""matchConstraints and matchResources of admission policies, as the API server reads them (Kubernetes MatchResources)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from engine.errors import InvalidPolicy
from engine.lang.selector import InvalidSelector, Selector, compile_selector, selects_everything
from engine.policy import KindSelector, Reach
from engine.request import GroupVersionKind, Object, Request

ANY = "*"
OPERATIONS = ("CREATE", "UPDATE", "DELETE", "CONNECT")
NAMESPACE = "Namespace"


@dataclass(frozen=True, slots=True)
class _Rule:
    """One entry of resourceRules. `resources` are (resource, subresource) pairs; empty `names`: all."""

    groups: frozenset[str]
    versions: frozenset[str]
    operations: frozenset[str]
    resources: frozenset[tuple[str, str]]
    names: frozenset[str]
    scope: str

    def covers(self, kind: GroupVersionKind, subresource: str, operation: str) -> bool:
        return (
            _within(operation, self.operations)
            and _within(kind.group, self.groups)
            and _within(kind.version, self.versions)
            and any(sub in (ANY, subresource) for _, sub in self.resources)
        )

    def matches(self, request: Request, resource: str) -> bool:
        if not self.covers(request.kind, request.subresource, request.operation):
            return False
        if self.scope != ANY and (self.scope == "Namespaced") is not _namespaced(request):
            return False
        if self.names and request.name not in self.names:
            return False
        return any(name in (ANY, resource) and sub in (ANY, request.subresource) for name, sub in self.resources)


def _within(value: str, allowed: frozenset[str]) -> bool:
    return value in allowed or ANY in allowed


def _namespaced(request: Request) -> bool:
    return bool(request.namespace) and request.kind.kind != NAMESPACE


class Constraints:
    """Compiled match resources: called with a request they say whether it is one of theirs.

    Without rules every resource is one (a binding that only narrows by selectors). `request.resource` names the resource;
    a request without one fits rules for all resources only. Versions count as written: nothing is converted here, so that
    matchPolicy Equivalent means the same as Exact.
    """

    __slots__ = ("_excluded", "_namespaces", "_objects", "_rules")

    def __init__(self, document: Mapping[str, Any], *, path: str) -> None:
        self._rules = _rules(document.get("resourceRules"), f"{path}.resourceRules")
        self._excluded = _rules(document.get("excludeResourceRules"), f"{path}.excludeResourceRules")
        self._namespaces = _selector(document.get("namespaceSelector"), f"{path}.namespaceSelector")
        self._objects = _selector(document.get("objectSelector"), f"{path}.objectSelector")

    @property
    def needs_namespace_labels(self) -> bool:
        return self._namespaces is not None

    @property
    def operations(self) -> frozenset[str]:
        found = frozenset(operation for rule in self._rules for operation in rule.operations)
        return frozenset(OPERATIONS) if not self._rules or ANY in found else found

    def __call__(self, request: Request) -> bool:
        resource = request.resource.resource if request.resource is not None else ""
        if self._rules and not any(rule.matches(request, resource) for rule in self._rules):
            return False
        if any(rule.matches(request, resource) for rule in self._excluded):
            return False
        if self._namespaces is not None and not self._namespaces(_labels_around(request)):
            return False
        return self._objects is None or any(
            self._objects(_labels(part)) for part in (request.object, request.old_object) if part is not None
        )

    def covers(self, kind: GroupVersionKind, subresource: str, operation: str) -> bool:
        """May a request of this kind be one of theirs? Resources are not known here."""
        return not self._rules or any(rule.covers(kind, subresource, operation) for rule in self._rules)


class ConstrainedMatch:
    """The `Match` of an admission policy: its constraints and those of a binding, both of which must hold.

    Kinds are not known, only resources: `kinds` and `reach` are empty.
    """

    kinds: tuple[KindSelector, ...] = ()
    reach: tuple[Reach, ...] = ()
    needs_user = False
    needs_roles = False

    __slots__ = ("_parts", "needs_namespace_labels", "operations")

    def __init__(self, *parts: Constraints) -> None:
        self._parts = parts
        self.needs_namespace_labels = any(part.needs_namespace_labels for part in parts)
        self.operations = frozenset(OPERATIONS).intersection(*(part.operations for part in parts))

    def __call__(self, request: Request) -> bool:
        return all(part(request) for part in self._parts)

    def covers(self, kind: GroupVersionKind, subresource: str, operation: str) -> bool:
        return all(part.covers(kind, subresource, operation) for part in self._parts)


def _labels(object_: Object) -> Mapping[str, str]:
    metadata = object_.get("metadata")
    labels = metadata.get("labels") if isinstance(metadata, dict) else None
    return labels if isinstance(labels, dict) else {}


def _labels_around(request: Request) -> Mapping[str, str] | None:
    """What a namespaceSelector looks at: a Namespace answers for itself, a cluster-scoped object is always selected."""
    if request.kind.kind == NAMESPACE and not request.kind.group:
        return _labels(request.subject)
    return (request.namespace_labels or {}) if request.namespace else None


def _rules(entries: Any, path: str) -> tuple[_Rule, ...]:
    rules = []
    for index, entry in enumerate(entries or []):
        where = f"{path}[{index}]"
        for field in ("apiGroups", "apiVersions", "operations", "resources"):
            if not entry.get(field):
                raise InvalidPolicy(f"{where}.{field}", "Required value")
        for position, operation in enumerate(entry["operations"]):
            if operation not in (*OPERATIONS, ANY):
                supported = ", ".join(f'"{one}"' for one in (ANY, *OPERATIONS))
                raise InvalidPolicy(
                    f"{where}.operations[{position}]", f'Unsupported value: "{operation}": supported values: {supported}'
                )
        rules.append(
            _Rule(
                groups=frozenset(entry["apiGroups"]),
                versions=frozenset(entry["apiVersions"]),
                operations=frozenset(entry["operations"]),
                resources=frozenset((name, sub) for name, _, sub in (one.partition("/") for one in entry["resources"])),
                names=frozenset(entry.get("resourceNames") or ()),
                scope=entry.get("scope") or ANY,
            )
        )
    return tuple(rules)


def _selector(document: Any, path: str) -> Callable[[Mapping[str, str] | None], bool] | None:
    """A test of labels, which holds where there are none to look at (None); None for a selector of everything."""
    if document is None or selects_everything(document):
        return None
    try:
        selects: Selector = compile_selector(document)
    except InvalidSelector as error:
        raise InvalidPolicy(f"{path}.{error.path}" if error.path else path, error.reason) from error
    return lambda labels: labels is None or selects(labels)
