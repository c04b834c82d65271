"""Answers to the engine's lookups without a cluster: from given objects, mocks and entries (cli-format.md 3, 5).

A source that is there answers every lookup or fails it. A source that is not there is absent: the names of its context entries
must come from values, and reading one that does not is an error, which no `||` hides.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, replace
from typing import Any, Protocol, TypeVar

from cli.resources import name_of
from engine import Facts, GroupVersionKind, Lookup, LookupFailed, Object, Unknown, kind_of

T = TypeVar("T")
MAX_ROUNDS = 32
NAMESPACE = GroupVersionKind("", "v1", "Namespace")


@dataclass(frozen=True, slots=True)
class Mock:
    """A mocked HTTP answer; `target` is a URL or a path, an empty `method` stands for any."""

    target: str
    method: str
    status: int
    body: Any


class Cluster(Protocol):
    """Where objects are found: `fake_cluster.FakeCluster`, `live_cluster.LiveCluster`. An empty namespace stands for all."""

    def get(self, group: str, plural: str, namespace: str, name: str) -> Object | None: ...
    def all(self, group: str, plural: str, namespace: str = "") -> list[Object]: ...
    def named(self, gvk: GroupVersionKind, namespace: str, name: str) -> Object | None: ...
    def of_kind(self, gvk: GroupVersionKind, namespace: str = "") -> list[Object]: ...
    def answer(self, url_path: str, method: str = "GET", body: str = "") -> Any: ...
    def has_config_maps(self) -> bool: ...


class OfflineFacts:
    """What is known without a controller's watches and caches.

    `cluster` answers ConfigMap and API calls of contexts, None: there is none, not even a fake one. `stored` are the objects
    that rules look for themselves: sources of clones, Namespaces.
    """

    def __init__(
        self,
        *,
        stored: Cluster,
        cluster: Cluster | None = None,
        namespaces: Mapping[str, Object] | None = None,
        mocks: Sequence[Mock] = (),
        entries: Mapping[str, Any] | None = None,
        images: Mapping[str, Any] | None = None,
        registry: Callable[[Lookup], Any] | None = None,
    ) -> None:
        self.assumed: list[str] = []
        """What `assuming` took to be there."""
        self._assumes = False
        self._assuming: OfflineFacts | None = None
        self._stored = stored
        self._namespaces = namespaces or {}
        self._cluster = cluster
        self._mocks = mocks
        self._entries = entries
        self._images = images
        self._registry = registry
        there = {
            "configMap": cluster is not None and cluster.has_config_maps(),
            "apiCall": cluster is not None or bool(mocks),
            "service": bool(mocks),
            "globalReference": entries is not None,
            "imageData": images is not None or registry is not None,
        }
        self._answers: dict[Lookup, Any] = {}
        self._facts = Facts(self._answers, frozenset(source for source, known in there.items() if not known))  # type: ignore[misc]

    def settle(self, ask: Callable[[Facts], T]) -> T:
        """Asks again and again until everything that it wanted to know is answered. Raises `LookupFailed` if it never ends."""
        for _ in range(MAX_ROUNDS):
            try:
                return ask(self._facts)
            except Unknown as unknown:
                # in place: facts made anew for each object would copy what all objects before it asked
                self._answers.update((lookup, self._answer(lookup)) for lookup in unknown.lookups)
        raise LookupFailed(None, f"still unanswered lookups after {MAX_ROUNDS} rounds")

    def assuming(self) -> OfflineFacts:
        """The same, but an object that is looked for by name and is not given is taken to be there, with nothing in it."""
        if self._assuming is None:
            self._assuming = copy(self)
            self._assuming._assumes = True
            self._assuming._answers = {}
            self._assuming._facts = replace(self._facts, answers=self._assuming._answers)
        return self._assuming

    def _answer(self, lookup: Lookup) -> Any:
        try:
            return SOURCES[lookup.source](self, lookup)
        except LookupFailed as failed:
            return LookupFailed(lookup, failed.reason)

    def _config_map(self, lookup: Lookup) -> Any:
        namespace, _, name = lookup.key.partition("/")
        found = self._cluster.get("", "configmaps", namespace, name) if self._cluster is not None else None
        if found is None:
            raise LookupFailed(lookup, f'configmaps "{name}" not found')
        return found

    def _api_call(self, lookup: Lookup) -> Any:
        mock = self._mock(lookup)
        if mock is not None:
            return _body(mock, lookup)
        if self._cluster is None:
            raise LookupFailed(lookup, f"no mocked response for {lookup.method} {lookup.key}")
        return self._cluster.answer(lookup.key, lookup.method, lookup.body)

    def _service(self, lookup: Lookup) -> Any:
        mock = self._mock(lookup)
        if mock is None:
            raise LookupFailed(lookup, f"no mocked response for {lookup.method} {lookup.key}")
        return _body(mock, lookup)

    def _mock(self, lookup: Lookup) -> Mock | None:
        return next((m for m in self._mocks if m.target == lookup.key and m.method in ("", lookup.method)), None)

    def _global_reference(self, lookup: Lookup) -> Any:
        entries = self._entries or {}
        if lookup.key in entries:
            found = entries[lookup.key]
            if isinstance(found, LookupFailed):
                raise found
            return found
        raise LookupFailed(lookup, f"global context entry {lookup.key} not found")

    def _image_data(self, lookup: Lookup) -> Any:
        images = self._images or {}
        if lookup.key in images:
            return images[lookup.key]
        if self._registry is not None:
            return self._registry(lookup)
        raise LookupFailed(lookup, f"no data is given for image {lookup.key}")

    def _resource(self, lookup: Lookup) -> Any:
        options = dict(lookup.options)
        gvk = kind_of({"apiVersion": options.get("apiVersion"), "kind": options.get("kind")})
        if lookup.method == "LIST":
            return self._stored.of_kind(gvk, lookup.key)
        namespace, _, name = lookup.key.partition("/")
        if gvk == NAMESPACE and name in self._namespaces:
            return self._namespaces[name]
        found = self._stored.named(gvk, namespace, name)
        if found is not None:
            return found
        if gvk == NAMESPACE:
            return _plain_namespace(name)
        if not self._assumes:
            return None
        metadata = {"name": name, "namespace": namespace} if namespace else {"name": name}
        self.assumed.append(f"{options['apiVersion']} {options['kind']} {lookup.key.lstrip('/')}")
        return {"apiVersion": options["apiVersion"], "kind": options["kind"], "metadata": metadata}


def registry_source(wanted: bool) -> Callable[[Lookup], Any] | None:
    """Who asks image registries (`--registry`); the client is loaded only when it is wanted."""
    if not wanted:
        return None
    from cli.image_registry import RegistryImages

    return RegistryImages()


SOURCES: dict[str, Callable[[OfflineFacts, Lookup], Any]] = {
    "configMap": OfflineFacts._config_map,
    "apiCall": OfflineFacts._api_call,
    "service": OfflineFacts._service,
    "globalReference": OfflineFacts._global_reference,
    "imageData": OfflineFacts._image_data,
    "resource": OfflineFacts._resource,
}


def _plain_namespace(name: str) -> Object:
    """A namespace that nobody described is there all the same: objects stand in it."""
    labels = {"kubernetes.io/metadata.name": name}
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}


def _body(mock: Mock, lookup: Lookup) -> Any:
    if not 200 <= mock.status < 300:
        raise LookupFailed(lookup, f"HTTP {mock.status}")
    return mock.body


def entry_values(name: str, data: Any, projections: Sequence[Mapping[str, str]], *, field_path: str = "") -> dict[str, Any]:
    """What a global context entry gives by its name, and each projection by `name.projection`.

    A value that cannot be made is a `LookupFailed`, for the rule that asks for it.
    """
    root = _projected(field_path, data) if field_path else data
    values = {name: root}
    for projection in projections:
        found = root if isinstance(root, LookupFailed) else _projected(projection["path"], root)
        values[f"{name}.{projection['name']}"] = found
    return values


def _projected(path: str, value: Any) -> Any:
    from engine import LanguageError, compile_expression

    try:
        return compile_expression(path)(value)
    except LanguageError as error:
        return LookupFailed(None, f"failed to apply {path}: {error}")


def entries_of(objects: Sequence[Object], cluster: Cluster) -> dict[str, Any]:
    """The GlobalContextEntry objects among `objects`, answered from the given objects."""
    entries: dict[str, Any] = {}
    for object_ in objects:
        spec = object_.get("spec")
        if object_.get("kind") == "GlobalContextEntry" and isinstance(spec, dict):
            try:
                projections, path = _projections(spec)
                entries |= entry_values(name_of(object_), _entry_data(spec, cluster), projections, field_path=path)
            except LookupFailed as failed:
                entries[name_of(object_)] = failed
    return entries


def _entry_data(spec: Mapping[str, Any], cluster: Cluster) -> Any:
    listed, call = spec.get("kubernetesResource"), spec.get("apiCall")
    if isinstance(listed, dict):
        group, plural, namespace = (str(listed.get(field) or "") for field in ("group", "resource", "namespace"))
        return cluster.all(group, plural, namespace)
    if isinstance(call, dict) and call.get("urlPath"):
        return cluster.answer(str(call["urlPath"]))
    raise LookupFailed(None, "a global context entry from a service is not known without a cluster")


def _projections(spec: Mapping[str, Any]) -> tuple[list[Mapping[str, str]], str]:
    call = spec.get("apiCall")
    written = spec.get("projections") or []
    if not isinstance(written, list) or not all(isinstance(p, dict) and {"name", "jmesPath"} <= p.keys() for p in written):
        raise LookupFailed(None, "projections want a name and a jmesPath")
    field_path = str(call.get("jmesPath") or "") if isinstance(call, dict) else ""
    return [{"name": p["name"], "path": p["jmesPath"]} for p in written], field_path
