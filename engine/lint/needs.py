"""Rights that the controllers need to carry out a policy: what generate, mutate-existing, cleanup and scans do in the cluster."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Literal, NamedTuple

from engine.clauses.kinds import parse_kind
from engine.lint.walk import as_list, as_map, blocks_of, maps_of, rules_of
from engine.policy import KindSelector

Controller = Literal["admission-controller", "background-controller", "cleanup-controller", "reports-controller"]
WRITE = ("create", "delete", "get", "list", "patch", "update", "watch")
CHANGE = ("get", "list", "patch", "update", "watch")
READ = ("get", "list", "watch")
DELETE = ("delete", "get", "list", "watch")


class Need(NamedTuple):
    """One right: `kind` may hold wildcards in its parts; `path` is what in the policy needs it.

    `resource` is the plural where the policy names that instead of the kind (the path of an API call).
    """

    controller: Controller
    kind: KindSelector
    verbs: tuple[str, ...]
    path: str
    resource: str = ""


def needs_of(document: Mapping[str, Any]) -> Iterator[Need]:
    """The rights that a policy document needs. Kinds with variables are left out: nobody knows them yet."""
    needs = NEEDS.get(str(document.get("kind")))
    spec = document.get("spec")
    if needs is not None and isinstance(spec, Mapping):
        yield from needs(document, spec)


def _of_cleanup(_document: Mapping[str, Any], spec: Mapping[str, Any]) -> Iterator[Need]:
    yield from (Need("cleanup-controller", selector, DELETE, path) for path, selector in _matched(spec, "spec"))
    yield from _called(spec, "spec", ("cleanup-controller",))


def _of_rules(document: Mapping[str, Any], spec: Mapping[str, Any]) -> Iterator[Need]:
    background = spec.get("background") is not False
    for path, rule in rules_of(document):
        if background and (rule.get("validate") or rule.get("verifyImages")):
            yield from (Need("reports-controller", selector, READ, at) for at, selector in _matched(rule, path))
        yield from _generated(rule.get("generate"), f"{path}.generate")
        for index, target in maps_of(as_map(rule.get("mutate")).get("targets")):
            yield from _addressed(target, f"{path}.mutate.targets[{index}]", CHANGE)
        yield from _called(rule, path, _askers(rule, background=background))


NEEDS: dict[str, Callable[[Mapping[str, Any], Mapping[str, Any]], Iterator[Need]]] = {
    "ClusterPolicy": _of_rules,
    "Policy": _of_rules,
    "CleanupPolicy": _of_cleanup,
    "ClusterCleanupPolicy": _of_cleanup,
}
"""Kind of policy -> the rights of a document with its spec. Admission policies are the API server's own: they need none."""


def _askers(rule: Mapping[str, Any], *, background: bool) -> tuple[Controller, ...]:
    """Who evaluates the rule, and so loads its context."""
    if rule.get("generate") or as_map(rule.get("mutate")).get("targets"):
        return ("background-controller",)
    if rule.get("validate") and background:
        return ("admission-controller", "reports-controller")
    return ("admission-controller",)


def _called(value: Any, path: str, controllers: tuple[Controller, ...]) -> Iterator[Need]:
    """What context entries ask of the API server, wherever they stand."""
    if isinstance(value, list):
        for index, member in enumerate(value):
            yield from _called(member, f"{path}[{index}]", controllers)
    if not isinstance(value, Mapping):
        return
    for key, member in value.items():
        if key == "apiCall" and isinstance(as_map(member).get("urlPath"), str):
            found = _PATH.match(_VARIABLE.sub("x", member["urlPath"]))
            if found:
                kind = KindSelector(found["group"] or "", "*", "", "", found["resource"])
                verbs = ("create",) if member.get("method") == "POST" else ("get", "list")
                for controller in controllers:
                    yield Need(controller, kind, verbs, f"{path}.apiCall.urlPath", found["resource"])
        else:
            yield from _called(member, f"{path}.{key}", controllers)


_VARIABLE = re.compile(r"\{\{.*?\}\}")
_PATH = re.compile(r"/(?:api/v1|apis/(?P<group>[\w.-]+)/[\w]+)/(?:namespaces/[^/?]+/)?(?P<resource>[a-z]+)")


def _matched(rule: Mapping[str, Any], path: str) -> Iterator[tuple[str, KindSelector]]:
    for where, block in blocks_of(rule.get("match"), f"{path}.match"):
        for index, text in enumerate(as_list(as_map(block.get("resources")).get("kinds"))):
            selector = parse_kind(str(text))
            if selector.kind and not selector.subresource:
                yield f"{where}.resources.kinds[{index}]", selector


def _generated(generate: Any, path: str) -> Iterator[Need]:
    if not isinstance(generate, Mapping):
        return
    targets = [(path, generate)]
    targets += [(f"{path}.foreach[{index}]", entry) for index, entry in maps_of(generate.get("foreach"))]
    for where, target in targets:
        yield from _addressed(target, where, WRITE)
        for index, text in enumerate(as_list(as_map(target.get("cloneList")).get("kinds"))):
            if "{{" not in str(text):
                yield Need("background-controller", parse_kind(str(text)), WRITE, f"{where}.cloneList.kinds[{index}]")


def _addressed(target: Mapping[str, Any], path: str, verbs: tuple[str, ...]) -> Iterator[Need]:
    version, kind = str(target.get("apiVersion") or ""), str(target.get("kind") or "")
    if not kind or "{{" in version or "{{" in kind:
        return
    group, _, number = version.rpartition("/")
    yield Need("background-controller", KindSelector(group, number, kind, "", kind), verbs, f"{path}.kind")
