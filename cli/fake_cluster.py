"""The API server's answers from given objects: GET of one object or a list by path, with label and field selectors."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any
from urllib.parse import parse_qs, urlsplit

from cli.kinds import BUILT_IN, Kinds, resource_of
from cli.resources import name_of, namespace_of
from engine import GroupVersionKind, LookupFailed, Object, kind_of

_PATH = re.compile(
    r"/(?:api/(?P<core>[^/]+)|apis/(?P<group>[^/]+)/(?P<version>[^/]+))"
    r"(?:/namespaces/(?P<namespace>[^/]+)(?=/[^/]))?/(?P<plural>[^/]+)(?:/(?P<name>[^/]+))?(?P<rest>/.*)?"
)
_REQUIREMENT = re.compile(
    r"\s*(?:(!?)([^\s=!,()]+)|([^\s=!,()]+)\s*(?:(==|=|!=)([^,()]*)|\b(in|notin)\s*\(([^()]*)\)))\s*(?:,|\Z)"
)


class FakeCluster:
    """Objects that API calls and ConfigMap lookups find."""

    def __init__(self, objects: Iterable[Object], *, kinds: Kinds = BUILT_IN) -> None:
        self._kinds = kinds
        self._objects: dict[tuple[str, str], list[Object]] = {}
        self._named: dict[tuple[str, str, str, str], Object] = {}
        for object_ in objects:
            gvk = kind_of(object_)
            plural = resource_of(gvk, kinds).plural
            self._objects.setdefault((gvk.group, plural), []).append(object_)
            self._named.setdefault((gvk.group, plural, namespace_of(object_), name_of(object_)), object_)

    def get(self, group: str, plural: str, namespace: str, name: str) -> Object | None:
        """The object, or None."""
        return self._named.get((group, plural, namespace, name))

    def all(self, group: str, plural: str, namespace: str = "") -> list[Object]:
        """The objects of a kind, of one namespace or of all."""
        found = self._objects.get((group, plural), [])
        return [object_ for object_ in found if namespace_of(object_) == namespace] if namespace else list(found)

    def named(self, gvk: GroupVersionKind, namespace: str, name: str) -> Object | None:
        """The object of a kind, or None; an empty namespace stands for any."""
        return next((object_ for object_ in self.of_kind(gvk, namespace) if name_of(object_) == name), None)

    def has_config_maps(self) -> bool:
        return bool(self.all("", "configmaps"))

    def answer(self, url_path: str, method: str = "GET", body: str = "") -> Any:
        """What a GET of an API path gives: an object or a list. Raises `LookupFailed`, also for other methods."""
        if method != "GET":
            raise LookupFailed(None, f"{method} {url_path} is not possible without a cluster")
        split = urlsplit(url_path)
        match = _PATH.fullmatch(split.path.rstrip("/"))
        if match is None or match["rest"]:
            raise LookupFailed(None, f"the server could not find the requested resource: {url_path}")
        group, plural = match["group"] or "", match["plural"]
        version = match["core"] or match["version"]
        if match["name"]:
            found = self.get(group, plural, match["namespace"] or "", match["name"])
            if found is None:
                where = f"{plural}.{group}" if group else plural
                raise LookupFailed(None, f'{where} "{match["name"]}" not found')
            return found
        query = parse_qs(split.query)
        items = self.all(group, plural, match["namespace"] or "")
        for selects in (*map(_labels, query.get("labelSelector", ())), *map(_fields, query.get("fieldSelector", ()))):
            items = [item for item in items if selects(item)]
        return {
            "apiVersion": f"{group}/{version}" if group else version,
            "kind": f"{self._kind(group, version, plural)}List",
            "metadata": {"resourceVersion": ""},
            "items": items,
        }

    def _kind(self, group: str, version: str, plural: str) -> str:
        for gvk, resource in self._kinds.items():
            if (gvk.group, gvk.version, resource.plural) == (group, version, plural):
                return gvk.kind
        objects = self._objects.get((group, plural))
        return kind_of(objects[0]).kind if objects else plural.capitalize()

    def of_kind(self, gvk: GroupVersionKind, namespace: str = "") -> list[Object]:
        """The objects of a kind, of one namespace or of all."""
        return self.all(gvk.group, resource_of(gvk, self._kinds).plural, namespace)


def _labels(text: str) -> Callable[[Object], bool]:
    """A label selector as it is written in URLs: `a=b,c!=d,e in (f,g),h,!i`."""
    tests = list(_requirements(text))

    def selects(object_: Object) -> bool:
        labels: Mapping[str, Any] = (object_.get("metadata") or {}).get("labels") or {}
        return all(test(labels) for test in tests)

    return selects


def _requirements(text: str) -> Iterable[Callable[[Mapping[str, Any]], bool]]:
    at = 0
    while at < len(text):
        found = _REQUIREMENT.match(text, at)
        if found is None or found.end() == at:
            raise LookupFailed(None, f"label selector `{text}` cannot be read")
        at = found.end()
        absent, only, key, equality, value, membership, values = found.groups()
        yield _there(only, not absent) if only else _one_of(key, equality or membership, (values or value or "").split(","))


def _there(key: str, wanted: bool) -> Callable[[Mapping[str, Any]], bool]:
    return lambda labels: (key in labels) is wanted


def _one_of(key: str, operator: str, written: Iterable[str]) -> Callable[[Mapping[str, Any]], bool]:
    values = {part.strip() for part in written}
    wanted = operator in ("=", "==", "in")
    return lambda labels: (labels.get(key) in values) is wanted


def _fields(text: str) -> Callable[[Object], bool]:
    """A field selector: `metadata.name=a,status.phase!=b`. Raises `LookupFailed` for one that cannot be read."""
    tests: list[tuple[list[str], bool, str]] = []
    for part in text.split(","):
        path, *rest = re.split(r"(!=|==|=)", part, maxsplit=1)
        if not rest:
            raise LookupFailed(None, f"field selector `{text}` cannot be read")
        operator, value = rest
        tests.append((path.strip().split("."), operator != "!=", value.strip()))

    def selects(object_: Object) -> bool:
        for steps, equal, wanted in tests:
            value: Any = object_
            for step in steps:
                value = value.get(step) if isinstance(value, dict) else None
            if (str(value if value is not None else "") == wanted) is not equal:
                return False
        return True

    return selects
