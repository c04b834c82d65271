"""What kinds the API server serves: kinds of policies become resources of webhooks (spec 3.1)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any

from controllers.cluster.client import Client
from engine import GroupVersionKind, GroupVersionResource, KindSelector

AGGREGATED = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"


@dataclass(frozen=True, slots=True)
class Resource:
    """One served resource in one version; `subresource` is empty for the object itself. `preferred`: the first
    version of its group that serves it.
    """

    group: str
    version: str
    kind: str
    plural: str
    subresource: str
    namespaced: bool
    preferred: bool
    verbs: frozenset[str] = frozenset()

    @property
    def path(self) -> str:
        """`pods` or `pods/exec`: how webhook rules and roles name it."""
        return f"{self.plural}/{self.subresource}" if self.subresource else self.plural


@dataclass(frozen=True, slots=True)
class Discovery:
    """An immutable snapshot of everything served."""

    resources: tuple[Resource, ...] = ()
    _kinds: Mapping[GroupVersionResource, GroupVersionKind] = field(default_factory=dict)

    @classmethod
    def of(cls, resources: Iterable[Resource]) -> Discovery:
        """A snapshot of these resources."""
        ordered = tuple(resources)
        whole = (r for r in ordered if not r.subresource)
        kinds = {GroupVersionResource(r.group, r.version, r.plural): GroupVersionKind(r.group, r.version, r.kind) for r in whole}
        return cls(ordered, kinds)

    def kind_of(self, resource: GroupVersionResource) -> GroupVersionKind | None:
        """The kind of the object that `resource` holds: for pods/exec that of the Pod. None when it is not served."""
        return self._kinds.get(resource)

    def find(self, selector: KindSelector) -> tuple[Resource, ...]:
        """The resources that a policy's kind entry names; empty when nothing of the kind is served.

        A version that is left open stands for the preferred one: matchPolicy Equivalent delivers the others.
        """
        any_version = selector.version in ("", "*")
        found = tuple(r for r in self.resources if _selects(selector, r) and (r.preferred or not any_version))
        if found or not any_version:
            return found
        return tuple(r for r in self.resources if _selects(selector, r))


def _selects(selector: KindSelector, resource: Resource) -> bool:
    if selector.subresource:
        if not resource.subresource or not fnmatchcase(resource.subresource, selector.subresource):
            return False
    elif resource.subresource:
        return False
    return (
        _part(selector.group, resource.group)
        and _part(selector.version, resource.version)
        and _part(selector.kind, resource.kind)
    )


def _part(pattern: str, value: str) -> bool:
    if pattern == "*":
        return True
    return fnmatchcase(value, pattern)


async def discover(client: Client) -> Discovery:
    """Asks the API server, two requests. Raises ApiError and Unreachable."""
    core = await client.call("GET", "/api", accept=AGGREGATED)
    named = await client.call("GET", "/apis", accept=AGGREGATED)
    return Discovery.of(parse(core, named))


def parse(*documents: Mapping[str, Any]) -> Iterable[Resource]:
    """Resources of aggregated discovery documents (apidiscovery.k8s.io/v2). Stale groups keep what the server last knew.

    The kind of a subresource is its parent's: `Pod/exec` in a policy, although the request carries PodExecOptions.
    """
    for document in documents:
        for group in document.get("items") or ():
            name = (group.get("metadata") or {}).get("name") or ""
            seen: set[str] = set()  # a resource need not be served in the group's first version
            for version in group.get("versions") or ():
                for entry in version.get("resources") or ():
                    kind = (entry.get("responseKind") or {}).get("kind") or ""
                    namespaced = entry.get("scope") == "Namespaced"
                    plural = entry["resource"]
                    common = {"group": name, "version": version["version"], "kind": kind, "plural": plural}
                    preferred = plural not in seen
                    seen.add(plural)
                    verbs = frozenset(entry.get("verbs") or ())
                    yield Resource(**common, subresource="", namespaced=namespaced, preferred=preferred, verbs=verbs)
                    for sub in entry.get("subresources") or ():
                        yield Resource(
                            **common,
                            subresource=sub["subresource"],
                            namespaced=namespaced,
                            preferred=preferred,
                            verbs=frozenset(sub.get("verbs") or ()),
                        )
