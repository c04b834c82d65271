"""A cluster as kubectl shows it; it answers what `fake_cluster.FakeCluster` answers from files (features.md 5.1, --cluster)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase
from functools import cached_property
from typing import Any, NamedTuple

import orjson

from cli import kinds as known
from cli.apply import Options
from cli.errors import InputError, UsageError
from cli.fake_cluster import FakeCluster
from cli.kinds import BUILT_IN, Kinds, resource_of
from cli.kubectl import Failed, find, run
from cli.offline_facts import NAMESPACE
from cli.policies import LoadedPolicy
from cli.resources import Resource, Resources, name_of
from cli.values import Values
from cli.yaml_load import Document
from engine import GroupVersionKind, LookupFailed, Object

SOURCE = "cluster"
"""What stands for the file of an object that comes from the cluster."""


class Served(NamedTuple):
    """A resource that can be listed; `kind` is in the group's preferred version or in the one that a policy names."""

    kind: GroupVersionKind
    plural: str
    namespaced: bool
    deletable: bool = True

    @property
    def reference(self) -> str:
        """`deployments.v1.apps`: kubectl's name for it."""
        return f"{self.plural}.{self.kind.version}.{self.kind.group}"


class LiveCluster:
    """Raises `LookupFailed` with kubectl's words where it cannot answer; every list is fetched once.

    `given` are objects from files that count as if they were in the cluster too.
    """

    def __init__(self, *, kubeconfig: str = "", context: str = "", given: Iterable[Object] = ()) -> None:
        program = find("kubectl")
        if program is None:
            raise UsageError("--cluster needs `kubectl` on PATH")
        self._program = program
        self._flags = [f"--{name}={value}" for name, value in (("kubeconfig", kubeconfig), ("context", context)) if value]
        self._given = FakeCluster(given)
        self._lists: dict[tuple[str, str], list[Object]] = {}

    @cached_property
    def served(self) -> tuple[Served, ...]:
        """Everything that can be listed, as discovery tells. Raises `UsageError`: without it nothing can be asked."""
        try:
            table = self._kubectl(["api-resources", "--verbs=list", "--no-headers", "-o", "wide"])
        except LookupFailed as failed:
            raise UsageError(failed.reason) from None
        return tuple(map(_served, table.splitlines()))

    @property
    def kinds(self) -> Kinds:
        """The built-in kinds and those that are served."""
        return {**BUILT_IN, **{one.kind: known.Resource(one.plural, one.namespaced) for one in self.served}}

    def has_config_maps(self) -> bool:
        return True

    def fetch(self, wanted: Served, namespace: str = "") -> list[Object]:
        """The objects of a resource, of one namespace or of all."""
        return self._listed(wanted.reference, namespace if wanted.namespaced else "")

    def labelled(self, label: str, namespace: str = "") -> tuple[list[Object], list[str]]:
        """Objects of every kind with the label, in the group's preferred version, and what could not be read of them."""
        references = [one.reference for one in self.served if one.namespaced or not namespace]
        where = [f"--namespace={namespace}"] if namespace else ["--all-namespaces"]
        rest = [*where, f"--selector={label}", "--output=json", "--ignore-not-found"]
        try:
            return _items(self._kubectl(["get", ",".join(references), *rest])), []
        except LookupFailed:
            found: list[Object] = []
            unread = []
            for reference in references:  # one that may not be read ends the whole answer
                try:
                    found += _items(self._kubectl(["get", reference, *rest]))
                except LookupFailed as failed:
                    unread.append(failed.reason)
            return found, unread

    def get(self, group: str, plural: str, namespace: str, name: str) -> Object | None:
        """The object, or None."""
        return self._one(f"{plural}.{group}" if group else plural, namespace, name)

    def all(self, group: str, plural: str, namespace: str = "") -> list[Object]:
        """The objects of a kind, of one namespace or of all."""
        return self._listed(f"{plural}.{group}" if group else plural, namespace)

    def named(self, gvk: GroupVersionKind, namespace: str, name: str) -> Object | None:
        """The object of a kind, or None."""
        return self._given.named(gvk, namespace, name) or self._one(self._reference(gvk), namespace, name)

    def of_kind(self, gvk: GroupVersionKind, namespace: str = "") -> list[Object]:
        """The objects of a kind, of one namespace or of all."""
        return [*self._given.of_kind(gvk, namespace), *self._listed(self._reference(gvk), namespace)]

    def answer(self, url_path: str, method: str = "GET", body: str = "") -> Any:
        """What the API server says to a request for `url_path`; kubectl can GET and POST."""
        if method == "GET":
            return orjson.loads(self._kubectl(["get", "--raw", url_path]))
        if method == "POST":
            return orjson.loads(self._kubectl(["create", "--raw", url_path, "-f", "-"], body))
        raise LookupFailed(None, f"{method} {url_path} cannot be asked through kubectl")

    def _reference(self, gvk: GroupVersionKind) -> str:
        return Served(gvk, resource_of(gvk, self.kinds).plural, True).reference

    def _listed(self, reference: str, namespace: str) -> list[Object]:
        key = reference, namespace
        if key not in self._lists:
            where = [f"--namespace={namespace}"] if namespace else ["--all-namespaces"]
            items: list[Object] = orjson.loads(self._kubectl(["get", reference, *where, "-o", "json"]))["items"]
            self._lists[key] = items
        return self._lists[key]

    def _one(self, reference: str, namespace: str, name: str) -> Object | None:
        where = [f"--namespace={namespace}"] if namespace else []
        text = self._kubectl(["get", reference, *where, "-o", "json", "--ignore-not-found", "--", name])
        found: Object | None = orjson.loads(text) if text.strip() else None
        return found

    def _kubectl(self, arguments: Sequence[str], body: str = "") -> str:
        try:
            return run(self._program, [*self._flags, *arguments], body)
        except Failed as failed:
            raise LookupFailed(None, str(failed)) from None


def _items(text: str) -> list[Object]:
    """The members of a list; nothing at all is said of an empty one."""
    items: list[Object] = orjson.loads(text)["items"] if text.strip() else []
    return items


def _served(line: str) -> Served:
    """A line of `kubectl api-resources`: NAME [SHORTNAMES] APIVERSION NAMESPACED KIND VERBS [CATEGORIES]."""
    words = line.split()
    at = next(position for position, word in enumerate(words) if position > 1 and word in ("true", "false"))
    group, _, version = words[at - 1].rpartition("/")
    verbs = words[at + 2].split(",")
    return Served(GroupVersionKind(group, version, words[at + 1]), words[0], words[at] == "true", "delete" in verbs)


def matched(policies: Iterable[LoadedPolicy], served: Sequence[Served]) -> list[Served]:
    """The resources that the policies' rules are about, in the order in which the cluster names them."""
    found: set[Served] = set()
    for policy, document in policies:
        for rule in policy.rules:
            for selector in rule.match.kinds:
                if selector.subresource in ("", "*"):
                    found.update(_of(served, (selector.group,), (selector.version,), kinds=(selector.kind,)))
        constraints = (document.value.get("spec") or {}).get("matchConstraints") or {}
        for entry in constraints.get("resourceRules") or ():
            found.update(_of(served, entry["apiGroups"], entry["apiVersions"], plurals=entry["resources"]))
    order = {(one.kind.group, one.plural): position for position, one in enumerate(served)}
    return sorted(found, key=lambda one: (order[one.kind.group, one.plural], one.kind.version))


def _of(
    served: Iterable[Served],
    groups: Iterable[str],
    versions: Sequence[str],
    *,
    kinds: Iterable[str] = ("*",),
    plurals: Iterable[str] = ("*",),
) -> Iterable[Served]:
    """What the patterns select. A version without a wildcard is asked for as it stands, whichever the server prefers."""
    for one in served:
        gvk = one.kind
        if _any(gvk.group, groups) and _any(gvk.kind, kinds) and _any(one.plural, plurals):
            if _any(gvk.version, versions):
                yield one
            else:
                yield from (one._replace(kind=gvk._replace(version=v)) for v in versions if "*" not in v and "?" not in v)


def _any(value: str, patterns: Iterable[str]) -> bool:
    return any(fnmatchcase(value, pattern) for pattern in patterns)


def fetched_resources(cluster: LiveCluster, policies: Iterable[LoadedPolicy], options: Options) -> Resources:
    """The objects that the policies are about; the errors say what kept some from being read.

    With names in `options.resources` only objects called so, all of which must be there.
    """
    objects: list[Object] = []
    faults = []
    for wanted in matched(policies, cluster.served):
        if options.cluster_wide and wanted.namespaced:
            continue
        try:
            objects += cluster.fetch(wanted, options.namespace)
        except LookupFailed as failed:
            faults.append(InputError(SOURCE, failed.reason))
    names = options.resources
    if names:
        objects = [object_ for object_ in objects if name_of(object_) in names]
        missing = set(names) - set(map(name_of, objects))
        faults += (InputError(SOURCE, f"{name} not found in cluster") for name in names if name in missing)
    return Resources([Resource(object_, Document(object_, SOURCE, 0, "")) for object_ in objects], faults, [])


def with_namespace_labels(cluster: LiveCluster, policies: Iterable[LoadedPolicy], resources: Resources, values: Values) -> Values:
    """The values, and where a rule selects by them the labels of the namespaces; what values say of a namespace wins."""
    if not any(rule.match.needs_namespace_labels for policy, _ in policies for rule in policy.rules):
        return values
    wanted = {resource.namespace for resource in resources.items} - {""}
    try:
        found = [cluster.named(NAMESPACE, "", name) for name in wanted] if len(wanted) < 2 else cluster.of_kind(NAMESPACE)
    except LookupFailed as failed:
        raise UsageError(failed.reason) from None
    labels = {name_of(namespace): namespace["metadata"].get("labels") or {} for namespace in found if namespace is not None}
    return replace(values, namespace_labels={**labels, **values.namespace_labels})


def entry_objects(cluster: LiveCluster, policies: Iterable[LoadedPolicy]) -> list[Object]:
    """The GlobalContextEntry objects of the cluster, where a policy refers to one. Raises `UsageError`."""
    if not any("globalReference" in document.text for _, document in policies):
        return []
    entries = next((one for one in cluster.served if one.kind.kind == "GlobalContextEntry"), None)
    try:
        return cluster.fetch(entries) if entries is not None else []
    except LookupFailed as failed:
        raise UsageError(failed.reason) from None
