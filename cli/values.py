"""Values, UserInfo, Context and ClusterResource files: what is told instead of asking a cluster (cli-format.md 3)."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from cli.decode import Misfit, anything, decode, kubernetes_object, list_of, map_of, mapping, one_of, record, text
from cli.errors import InputError, UsageError
from cli.yaml_load import Document, load_file
from engine import GroupVersionKind, Object, User

OPERATION = "request.operation"
texts = list_of(text)
_metadata = mapping
_operation = one_of("CREATE", "UPDATE", "DELETE", "CONNECT")


def _dotted(value: Any, path: str) -> dict[str, Any]:
    """Values by dotted keys; an operation that there is not would be taken for CREATE."""
    found = mapping(value, path)
    if found.get(OPERATION) is not None:
        _operation(found[OPERATION], f"{path}.{OPERATION}")
    return found


_named_values = record(("name",), name=text, values=_dotted)
_api_resource = record(
    ("name", "kind"),
    name=text,
    kind=text,
    group=text,
    version=text,
    **dict.fromkeys(("singularName", "namespaced", "shortNames", "categories", "verbs", "storageVersionHash"), anything),
)
_VALUES = {
    "globalValues": _dotted,
    "policies": list_of(
        record(
            ("name",),
            name=text,
            resources=list_of(_named_values),
            rules=list_of(record(("name",), name=text, values=map_of(anything), foreachValues=map_of(list_of(anything)))),
        )
    ),
    "namespaceSelector": list_of(record(("name",), name=text, labels=map_of(text))),
    "namespaces": list_of(kubernetes_object),
    "subresources": list_of(
        record(
            ("subresource", "parentResource"),
            subresource=_api_resource,
            parentResource=_api_resource,
        )
    ),
}
INLINE_VALUES = record(**_VALUES)
_values_document = record(("apiVersion", "kind"), apiVersion=text, kind=text, metadata=_metadata, **_VALUES)
_user_document = record(
    ("apiVersion", "kind"),
    apiVersion=text,
    kind=text,
    metadata=_metadata,
    roles=texts,
    clusterRoles=texts,
    userInfo=record(username=text, uid=text, groups=texts, extra=map_of(texts)),
)
_context_document = record(
    ("apiVersion", "kind"),
    apiVersion=text,
    kind=text,
    metadata=_metadata,
    spec=record(resources=list_of(kubernetes_object), images=list_of(mapping)),
)
_cluster_document = record(
    ("apiVersion", "kind"),
    apiVersion=text,
    kind=text,
    metadata=_metadata,
    spec=record(crds=texts, resources=list_of(kubernetes_object)),
)


@dataclass(frozen=True, slots=True)
class Values:
    """Values of a file, of flags or of a test.

    Keys are dotted paths (`request.object.spec.x`, `mycm.data.env`). `resources` are by (policy, resource name), `rules` by
    policy and the written rule's name with nested values, `subresources` give the parent's kind and the subresource's name
    by the kind of what is sent (`Scale` -> `Deployment`, `scale`).
    """

    global_values: Mapping[str, Any] = field(default_factory=dict)
    resources: Mapping[tuple[str, str], Mapping[str, Any]] = field(default_factory=dict)
    rules: Mapping[str, Mapping[str, Mapping[str, Any]]] = field(default_factory=dict)
    namespace_labels: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    namespaces: Mapping[str, Object] = field(default_factory=dict)
    subresources: Mapping[GroupVersionKind, tuple[GroupVersionKind, str]] = field(default_factory=dict)
    flags: Mapping[str, Any] = field(default_factory=dict)
    """`--set`, which wins over the rest."""

    def concerns(self, policy: str) -> bool:
        """Are there values for this policy alone?"""
        return policy in self.rules or any(name == policy for name, _ in self.resources)

    def for_resource(self, policy: str, resource: str) -> dict[str, Any]:
        """Dotted values for a policy and a resource's name: global ones, the resource's own, then flags."""
        return {**self.global_values, **self.resources.get((policy, resource), {}), **self.flags}


NO_VALUES = Values()


def load_values(path: str) -> Values:
    """A Values file. Raises `InputError`."""
    return values_from(decode(_only(path), _values_document))


def values_from(document: Mapping[str, Any]) -> Values:
    """Values in decoded form (`INLINE_VALUES`)."""
    labels: dict[str, Mapping[str, str]] = {
        selector["name"]: selector.get("labels") or {} for selector in document.get("namespaceSelector") or []
    }
    namespaces = {}
    for namespace in document.get("namespaces") or []:
        metadata = namespace.get("metadata") or {}
        name = str(metadata.get("name") or "")
        namespaces[name] = namespace
        labels[name] = {**(metadata.get("labels") or {}), "kubernetes.io/metadata.name": name}
    resources: dict[tuple[str, str], Mapping[str, Any]] = {}
    rules: dict[str, dict[str, Mapping[str, Any]]] = {}
    for policy in document.get("policies") or []:
        for resource in policy.get("resources") or []:
            resources[policy["name"], resource["name"]] = resource.get("values") or {}
        for rule in policy.get("rules") or []:
            first = {key: value[0] for key, value in (rule.get("foreachValues") or {}).items() if value}
            rules.setdefault(policy["name"], {})[rule["name"]] = nested({**(rule.get("values") or {}), **first})
    return Values(
        global_values=document.get("globalValues") or {},
        resources=resources,
        rules=rules,
        namespace_labels=labels,
        namespaces=namespaces,
        subresources={
            _kind(entry["subresource"]): (_kind(entry["parentResource"]), entry["subresource"]["name"].rpartition("/")[2])
            for entry in document.get("subresources") or []
        },
    )


def _kind(document: Mapping[str, str]) -> GroupVersionKind:
    return GroupVersionKind(document.get("group", ""), document.get("version", ""), document["kind"])


def load_user(path: str) -> User:
    """A UserInfo file. Raises `InputError`."""
    document = decode(_only(path), _user_document)
    info = document.get("userInfo") or {}
    return User(
        username=info.get("username", ""),
        groups=tuple(info.get("groups") or ()),
        roles=tuple(document.get("roles") or ()),
        cluster_roles=tuple(document.get("clusterRoles") or ()),
    )


@dataclass(frozen=True, slots=True)
class Context:
    """What CEL policies find: objects for `resource.Get`, and image data by reference."""

    resources: tuple[Object, ...] = ()
    images: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


NO_CONTEXT = Context()


def load_context(path: str) -> Context:
    """A Context file. Raises `InputError`."""
    spec = decode(_only(path), _context_document).get("spec") or {}
    return Context(
        resources=tuple(spec.get("resources") or ()),
        images={str(image.get("image") or ""): image for image in spec.get("images") or []},
    )


@dataclass(frozen=True, slots=True)
class ClusterResources:
    """A ClusterResource file: paths of CustomResourceDefinitions, and objects."""

    crds: tuple[str, ...]
    resources: tuple[Object, ...]


def load_cluster_resources(path: str) -> ClusterResources:
    """Raises `InputError`."""
    spec = decode(_only(path), _cluster_document).get("spec") or {}
    return ClusterResources(crds=tuple(spec.get("crds") or ()), resources=tuple(spec.get("resources") or ()))


def _only(path: str) -> Document:
    documents, errors = load_file(path, unique=True)
    if errors:
        raise errors[0]
    if not documents:
        raise InputError(path, "the file is empty")
    if len(documents) > 1:
        raise InputError(path, f"one document is expected, here are {len(documents)}", line=documents[1].line)
    return documents[0]


def values_of_flags(assignments: Iterable[str]) -> dict[str, str]:
    """`--set key=value`; what is said of `request.object` is left out. Raises `UsageError`."""
    values = {}
    for assignment in assignments:
        key, equals, value = assignment.partition("=")
        if not equals or not key.strip():
            raise UsageError(f"--set wants key=value, got `{assignment}`")
        if "request.object." not in key:
            values[key.strip()] = value.strip()
    try:
        _dotted(values, "--set")
    except Misfit as misfit:
        raise UsageError(str(misfit)) from None
    return values


def nested(values: Mapping[str, Any]) -> dict[str, Any]:
    """Dotted keys as nested maps; a quoted segment may hold dots: `a."b.c".d`."""
    tree: dict[str, Any] = {}
    for key, value in values.items():
        *steps, last = _segments(key)
        node = tree
        for step in steps:
            below = node.get(step)
            if not isinstance(below, dict):
                below = node[step] = {}
            node = below
        node[last] = value
    return tree


def _segments(key: str) -> list[str]:
    return list(next(csv.reader([key], delimiter="."))) if '"' in key else key.split(".")
