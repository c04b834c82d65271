"""What the ConfigMap takes away from all policies: objects (`resourceFilters`) and users (`excludeUsernames`, …; spec 3.3).

Both are read from what an administrator typed: a mistake is named and costs only its own entry.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple

from engine.clauses.kinds import KindTest, compile_kinds, parse_kind
from engine.lang.wildcard import compile_any, compile_wildcard
from engine.request import GroupVersionKind, Request

_tuple = re.compile(r"\[([^\[\]]*)\]")
MARK = "!"
NAMESPACE = GroupVersionKind("", "v1", "Namespace")
REMEMBERED = 4096
"""Kinds whose tuples are kept at hand; whoever makes up kinds must not fill the memory."""

PlaceTest = Callable[[Request], bool]


class Exclusion(NamedTuple):
    """A compiled setting. `excludes(request)`: policies are not asked. `problems`: entries that were left out, and why."""

    excludes: Callable[[Request], bool]
    problems: tuple[str, ...] = ()

    def __call__(self, request: Request) -> bool:
        return self.excludes(request)


def compile_filters(text: str) -> Exclusion:
    """The filter of `resourceFilters`: `[Kind,namespace,name]` tuples, anything may stand between them.

    Kind has the grammar of `kinds` (`Pod/binding`, `*/*`), namespace and name have wildcards and may be left out from the
    right (then everything fits). Of a Namespace, its name is compared in both places; an empty namespace fits it too.
    """
    tests: list[tuple[KindTest, PlaceTest]] = []
    problems = []
    for number, written in enumerate(_tuple.findall(text), start=1):
        parts = [part.strip() for part in written.split(",")]
        problem = _problem(parts)
        if problem:
            problems.append(f"resourceFilters: tuple {number} `[{written}]`: {problem}")
        else:
            tests.append(_compile_tuple(*parts))
    rest = _tuple.sub("", text).strip(" \t\r\n,")
    if rest:
        problems.append(f"resourceFilters: text outside of [ ] is ignored: `{rest}`")
    return Exclusion(_by_kind(tests), tuple(problems))


def _problem(parts: list[str]) -> str:
    if len(parts) > 3:
        return f"expected kind, namespace and name, got {len(parts)} parts"
    if not parts[0]:
        return "kind is empty"
    if not parse_kind(parts[0]).kind:
        return f"`{parts[0]}` is no kind"
    return ""


def _compile_tuple(kind: str, namespace: str = "*", name: str = "*") -> tuple[KindTest, PlaceTest]:
    namespace_fits, name_fits = compile_wildcard(namespace), compile_wildcard(name)

    def excludes(request: Request) -> bool:
        named = _name(request)
        if request.kind == NAMESPACE:
            return (namespace_fits(named) or namespace_fits("")) and name_fits(named)
        return namespace_fits(request.namespace) and name_fits(named)

    return compile_kinds([parse_kind(kind)], ephemeral_containers=False), excludes


def _by_kind(tests: list[tuple[KindTest, PlaceTest]]) -> PlaceTest:
    """Any of the tests, looking only at those of the request's kind, which are remembered."""
    known: dict[tuple[GroupVersionKind, str], tuple[PlaceTest, ...]] = {}

    def excludes(request: Request) -> bool:
        spot = (request.kind, request.subresource)
        places = known.get(spot)
        if places is None:
            places = tuple(place for kind_fits, place in tests if kind_fits(*spot))
            if len(known) < REMEMBERED:
                known[spot] = places
        return any(place(request) for place in places)

    return excludes


def compile_exclusions(*, groups: str = "", usernames: str = "", roles: str = "", cluster_roles: str = "") -> Exclusion:
    """Users that policies do not apply to: excludeGroups, excludeUsernames, excludeRoles and excludeClusterRoles.

    Each is a comma list with wildcards; roles are `namespace:name`. A user is excluded by any entry of any list, unless a
    `!name` of any list fits: that takes the user back. Where nobody asked, nobody is excluded.
    """
    settings = (
        ("excludeGroups", groups),
        ("excludeUsernames", usernames),
        ("excludeRoles", roles),
        ("excludeClusterRoles", cluster_roles),
    )
    problems: list[str] = []
    excluded, included = [], []
    for setting, text in settings:
        entries = [entry.strip() for entry in text.split(",")]
        excluded.append(compile_any([entry for entry in entries if entry and not entry.startswith(MARK)]))
        included.append(compile_any([entry[1:].strip() for entry in entries if entry.startswith(MARK) and entry != MARK]))
        problems.extend(f"{setting}: `{MARK}` without a name" for entry in entries if entry == MARK)

    def excludes(request: Request) -> bool:
        user = request.user
        if user is None:
            return False
        facts = (user.groups, (user.username,), user.roles, user.cluster_roles)

        def fits(tests: list[Callable[[str], bool]]) -> bool:
            return any(test(value) for test, values in zip(tests, facts, strict=True) for value in values)

        return fits(excluded) and not fits(included)

    return Exclusion(excludes, tuple(problems))


def _name(request: Request) -> str:
    if request.name:
        return request.name
    metadata = request.subject.get("metadata")
    name = metadata.get("name") if isinstance(metadata, dict) else None
    return name if isinstance(name, str) else ""
