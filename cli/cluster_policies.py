"""What of a cluster belongs to policies from files: their bindings, exceptions from them, and the objects that they change."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain

from cli.errors import InputError
from cli.evaluation import Targets
from cli.live_cluster import SOURCE, LiveCluster, Served
from cli.policies import EXCEPTION, LoadedPolicy, Policies, bound
from cli.resources import name_of, namespace_of
from cli.yaml_load import Document
from engine import BINDINGS, LookupFailed, Object
from engine.lang import wildcard


def with_bindings(cluster: LiveCluster, policies: Policies) -> Policies:
    """The policies, with the cluster's bindings of the admission policies among them. Those from files win by their names."""
    kinds = {item.policy.identity.kind for item in policies.items} & set(BINDINGS.values())
    wanted = {binding for binding, kind in BINDINGS.items() if kind in kinds}
    if not wanted:
        return policies
    found, faults = _objects(cluster, wanted)
    given = {name_of(document.value) for document in policies.bindings}
    bindings = [*policies.bindings, *(_document(one) for one in found if name_of(one) not in given)]
    invalid = list(policies.invalid)
    items: list[LoadedPolicy] = list(bound(policies.items, bindings, invalid))
    return policies._replace(items=items, invalid=invalid, errors=[*policies.errors, *faults])


def exceptions_in(cluster: LiveCluster) -> tuple[list[Document], list[InputError]]:
    """The PolicyExceptions of the cluster, none where it does not serve the kind, and what kept them from being read."""
    found, faults = _objects(cluster, {EXCEPTION})
    return [_document(one) for one in found], faults


def targets_in(cluster: LiveCluster, given: Sequence[Object]) -> Targets:
    """Where rules with targets find the objects that they change: those `given`, then the cluster's."""

    def targets(wanted: Sequence[Object]) -> Iterable[Object]:
        found: dict[tuple[str, str, str, str], Object] = {}
        for object_ in chain(given, *(_selected(cluster, selector) for selector in wanted)):
            found.setdefault(_key(object_), object_)
        return found.values()

    return targets


def _selected(cluster: LiveCluster, selector: Mapping[str, str]) -> Iterator[Object]:
    kind, _, _ = str(selector.get("kind") or "").partition("/")
    namespace = str(selector.get("namespace") or "")
    for one in cluster.served:
        api_version = f"{one.kind.group}/{one.kind.version}" if one.kind.group else one.kind.version
        if one.kind.kind == kind and wildcard.matches(str(selector.get("apiVersion") or ""), api_version):
            yield from cluster.fetch(one, "" if "*" in namespace or "?" in namespace else namespace)


def _objects(cluster: LiveCluster, wanted: Iterable[tuple[str, str]]) -> tuple[list[Object], list[InputError]]:
    """The objects of some (API group, kind), and what kept some from being read."""
    found: list[Object] = []
    faults = []
    served: Iterable[Served] = (one for one in cluster.served if (one.kind.group, one.kind.kind) in wanted)
    for one in served:
        try:
            found += cluster.fetch(one)
        except LookupFailed as failed:
            faults.append(InputError(SOURCE, failed.reason))
    return found, faults


def _document(object_: Object) -> Document:
    return Document(object_, SOURCE, 0, "")


def _key(object_: Object) -> tuple[str, str, str, str]:
    group, _, _ = str(object_.get("apiVersion") or "").rpartition("/")
    return group, str(object_.get("kind")), namespace_of(object_), name_of(object_)
