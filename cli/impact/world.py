"""Where the objects are: a cluster behind kubectl, read page by page, or a folder of files that shows one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Protocol

from cli.documents import load_paths, require_object
from cli.errors import InputError
from cli.fake_cluster import FakeCluster
from cli.kinds import Kinds, resource_of, with_definitions
from cli.live_cluster import LiveCluster, Served
from cli.offline_facts import Cluster
from cli.resources import completed
from cli.yaml_load import Document
from engine import GroupVersionKind, Object, PolicyIdentity, kind_of

PAGE = 500


class World(Protocol):
    """Objects, and what is known beside them. Whatever cannot be read raises `LookupFailed` with the reason."""

    @property
    def source(self) -> str: ...
    @property
    def cluster(self) -> Cluster: ...
    @property
    def kinds(self) -> Kinds: ...
    @property
    def served(self) -> Sequence[Served]: ...
    @property
    def faults(self) -> list[InputError]: ...

    def pages(self, wanted: Served, *, namespace: str = "", labels: str = "") -> Iterator[list[Object]]:
        """The objects of a resource, some at a time, each with apiVersion and kind. `labels`: a label selector `a=b,c=d`."""
        ...

    def in_force(self, identity: PolicyIdentity) -> Object | None:
        """The policy of that kind, namespace and name that is there now."""
        ...


class Snapshot:
    """Files and folders of YAML or JSON, as `kubectl get KINDS -A -o yaml` writes them. They are held in memory."""

    def __init__(self, paths: Iterable[str]) -> None:
        given = tuple(paths)
        loaded = load_paths(given)
        documents: list[Object] = []
        self.source = ", ".join(given)
        self.faults = list(loaded.errors)
        for document in loaded.documents:
            try:
                documents.append(require_object(document))
            except InputError as error:
                self.faults.append(error)
        self.kinds = with_definitions(documents)
        self._by_kind: dict[tuple[str, str], dict[tuple[str, str], Object]] = {}
        for object_ in documents:
            whole = completed(object_, self.kinds)
            gvk = kind_of(whole)
            metadata = whole.get("metadata") or {}
            key = str(metadata.get("namespace") or ""), str(metadata.get("name") or "")
            self._by_kind.setdefault((gvk.group, gvk.kind), {})[key] = whole
        everything = [object_ for held in self._by_kind.values() for object_ in held.values()]
        self.cluster: Cluster = FakeCluster(everything, kinds=self.kinds)
        self.served = tuple(self._served(next(iter(held.values()))) for held in self._by_kind.values())

    def _served(self, example: Object) -> Served:
        gvk = kind_of(example)
        known = resource_of(gvk, self.kinds)
        return Served(gvk, known.plural, known.namespaced)

    def pages(self, wanted: Served, *, namespace: str = "", labels: str = "") -> Iterator[list[Object]]:
        held = self._by_kind.get((wanted.kind.group, wanted.kind.kind), {})
        pairs = [pair.partition("=")[::2] for pair in labels.split(",") if pair]
        found = [o for (inside, _), o in held.items() if not (namespace and wanted.namespaced) or inside == namespace]
        yield [o for o in found if all(((o.get("metadata") or {}).get("labels") or {}).get(k, "") == v for k, v in pairs)]

    def in_force(self, identity: PolicyIdentity) -> Object | None:
        group = identity.api_version.rpartition("/")[0]
        return self._by_kind.get((group, identity.kind), {}).get((identity.namespace, identity.name))


class Live:
    """A cluster, through kubectl and with the rights of whoever runs it."""

    def __init__(self, *, kubeconfig: str = "", context: str = "") -> None:
        self._live = LiveCluster(kubeconfig=kubeconfig, context=context)
        self.source = "the cluster"
        self.faults: list[InputError] = []
        self.cluster: Cluster = self._live
        self.kinds = self._live.kinds
        self.served = self._live.served

    def pages(self, wanted: Served, *, namespace: str = "", labels: str = "") -> Iterator[list[Object]]:
        group, version, kind = wanted.kind
        api_version = f"{group}/{version}" if group else version
        inside = f"/namespaces/{namespace}" if namespace and wanted.namespaced else ""
        path = f"/{'apis' if group else 'api'}/{api_version}{inside}/{wanted.plural}?limit={PAGE}"
        selected = f"&labelSelector={labels.replace('=', '%3D').replace(',', '%2C')}" if labels else ""
        token = ""
        while True:
            listed: dict[str, Any] = self._live.answer(f"{path}{selected}{f'&continue={token}' if token else ''}")
            yield [{"apiVersion": api_version, "kind": kind, **item} for item in listed.get("items") or ()]
            token = (listed.get("metadata") or {}).get("continue") or ""
            if not token:
                return

    def in_force(self, identity: PolicyIdentity) -> Object | None:
        group, _, version = identity.api_version.rpartition("/")
        if all((one.kind.group, one.kind.kind) != (group, identity.kind) for one in self.served):
            return None
        return self._live.named(GroupVersionKind(group, version, identity.kind), identity.namespace, identity.name)


def of_kind(world: World, group: str, kind: str) -> list[Object]:
    """All objects of a kind; none where it is not served. Raises `LookupFailed`."""
    wanted = next((one for one in world.served if (one.kind.group, one.kind.kind) == (group, kind)), None)
    return [object_ for page in world.pages(wanted) for object_ in page] if wanted is not None else []


def documents_of(objects: Iterable[Object], source: str) -> list[Document]:
    """Objects as documents of a file, for the loaders of the command line."""
    return [Document(object_, source, 0, "") for object_ in objects]
