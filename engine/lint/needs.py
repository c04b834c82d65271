"""Rights that the controllers need to carry out a policy: what generate, mutate-existing, cleanup and scans do in the cluster."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Literal, NamedTuple

from engine.clauses.kinds import parse_kind
from engine.lint.walk import as_list, as_map, blocks_of, maps_of, rules_of
from engine.policy import KindSelector

Controller = Literal["background-controller", "cleanup-controller", "reports-controller"]
WRITE = ("create", "delete", "get", "list", "patch", "update", "watch")
CHANGE = ("get", "list", "patch", "update", "watch")
READ = ("get", "list", "watch")
DELETE = ("delete", "get", "list", "watch")


class Need(NamedTuple):
    """One right: `kind` may hold wildcards in its parts; `path` is what in the policy needs it."""

    controller: Controller
    kind: KindSelector
    verbs: tuple[str, ...]
    path: str


def needs_of(document: Mapping[str, Any]) -> Iterator[Need]:
    """The rights that a policy document needs. Kinds with variables are left out: nobody knows them yet."""
    kind = document.get("kind")
    spec = document.get("spec")
    if not isinstance(spec, Mapping):
        return
    if kind in ("CleanupPolicy", "ClusterCleanupPolicy"):
        yield from (Need("cleanup-controller", selector, DELETE, path) for path, selector in _matched(spec, "spec"))
        return
    if kind not in ("ClusterPolicy", "Policy"):
        return
    for path, rule in rules_of(document):
        if spec.get("background") is not False and (rule.get("validate") or rule.get("verifyImages")):
            yield from (Need("reports-controller", selector, READ, at) for at, selector in _matched(rule, path))
        yield from _generated(rule.get("generate"), f"{path}.generate")
        for index, target in maps_of(as_map(rule.get("mutate")).get("targets")):
            yield from _addressed(target, f"{path}.mutate.targets[{index}]", CHANGE)


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
