"""The grammar of `kinds` (spec 9.4) and its predicates; resource filters of the ConfigMap use it too."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

from engine.lang.wildcard import compile_wildcard, has_wildcard
from engine.policy import KindSelector
from engine.request import GroupVersionKind

KindTest = Callable[[GroupVersionKind, str], bool]
"""(kind of the object, subresource of the request) -> is it selected?"""

POD = GroupVersionKind("", "v1", "Pod")
ANY = "*"

_version = re.compile(r"v\d+((alpha|beta)\d+)?|\*")


def parse_kind(text: str) -> KindSelector:
    """One entry of `kinds`: segments split by `/`, the last one also by `.` in front of a subresource.

    Never fails: a text of more than four segments becomes a selector without a kind, which selects nothing.
    """
    *front, last = text.split("/")
    group, version, kind, subresource = _parts([*front, *last.split(".")])
    return KindSelector(group, version, kind, subresource, text)


def _parts(segments: list[str]) -> tuple[str, str, str, str]:
    match segments:
        case [kind]:
            return ANY, ANY, kind, ""
        case ["*", "*"]:
            return ANY, ANY, ANY, ANY
        case ["*", subresource] if subresource == subresource.lower():
            return ANY, ANY, ANY, subresource
        case [version, kind] if _version.fullmatch(version):
            return ANY, version, kind, ""
        case [kind, subresource]:
            return ANY, ANY, kind, subresource
        case [version, kind, subresource] if _version.fullmatch(version):
            return ANY, version, kind, subresource
        case [group, version, kind]:
            return group, version, kind, ""
        case [group, version, kind, subresource]:
            return group, version, kind, subresource
        case _:
            return "", "", "", ""


def compile_kinds(selectors: Iterable[KindSelector], *, ephemeral_containers: bool = True) -> KindTest:
    """A predicate that holds when any selector does.

    With `ephemeral_containers`, a selector of Pods themselves also selects requests to their subresource
    `ephemeralcontainers`, as policies need it and resource filters do not (spec 2.1).
    """
    literal: set[str] = set()
    general: list[KindTest] = []
    for selector in selectors:
        if not selector.subresource and selector.group == selector.version == ANY and not has_wildcard(selector.kind):
            literal.add(selector.kind)
        else:
            general.append(_compile_selector(selector, ephemeral_containers))
    if not general and ephemeral_containers:
        return _literal_kinds(frozenset(literal))
    general.extend(_compile_selector(KindSelector(ANY, ANY, kind, "", kind), ephemeral_containers) for kind in sorted(literal))
    if len(general) == 1:
        return general[0]
    return lambda kind, subresource: any(test(kind, subresource) for test in general)


def _literal_kinds(names: frozenset[str]) -> KindTest:
    def selected(kind: GroupVersionKind, subresource: str) -> bool:
        return kind.kind in names and (not subresource or (subresource == "ephemeralcontainers" and kind == POD))

    return selected


def _compile_selector(selector: KindSelector, ephemeral_containers: bool) -> KindTest:
    group, version, kind_name = map(compile_wildcard, (selector.group, selector.version, selector.kind))
    subresource_fits = compile_wildcard(selector.subresource)
    ephemeral_containers = ephemeral_containers and not selector.subresource

    def selected(kind: GroupVersionKind, subresource: str) -> bool:
        return (
            kind_name(kind.kind)
            and (subresource_fits(subresource) or (ephemeral_containers and subresource == "ephemeralcontainers" and kind == POD))
            and version(kind.version)
            and group(kind.group)
        )

    return selected
