"""Rules that can never apply, as far as their text tells."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from engine.clauses.block import NAMESPACE
from engine.clauses.conditions import compile_conditions
from engine.clauses.kinds import parse_kind
from engine.clauses.match import CompiledMatch, compile_match
from engine.clauses.variable import VARIABLE
from engine.compiler.cluster_policy import NOT_ON_DELETE
from engine.errors import EngineError, InvalidPolicy, Unknown
from engine.lang.duration import parse_duration
from engine.lang.errors import LanguageError
from engine.lang.quantity import parse_amount
from engine.lang.wildcard import has_wildcard, matches
from engine.lint.finding import Finding
from engine.lint.walk import as_list, as_map, maps_of
from engine.request import GroupVersionKind, Request
from engine.scope import Scope

NOWHERE = Request(operation="CREATE", kind=GroupVersionKind("", "", ""), object=None)
_CHOICES = frozenset({"Equals", "Equal", "AnyIn", "In", "AllIn"})
_OPERATION = "{{request.operation}}"


def reach_findings(rule: Mapping[str, Any], path: str, *, cluster_scoped: frozenset[str]) -> Iterator[Finding]:
    """The findings for the rule that stands at `path`; none where its match does not compile.

    `cluster_scoped` are kinds whose objects lie in no namespace.
    """
    if not isinstance(rule.get("match"), Mapping):
        return
    try:
        match = compile_match(rule["match"], rule.get("exclude"), path=path)
    except InvalidPolicy:
        return
    yield from _kinds(rule, path, cluster_scoped - {NAMESPACE})
    validate = rule.get("validate")
    if not match.reach:
        yield Finding("unreachable", f"{path}.match", "match and exclude leave no kind and operation")
    elif isinstance(validate, Mapping) and match.operations == {"DELETE"} and not NOT_ON_DELETE.isdisjoint(validate):
        yield Finding("unreachable", f"{path}.match", "rules of this type are not asked when an object is deleted")
    yield from _covered(rule, path)
    yield from _contradictions(rule, path, match)


def _kinds(rule: Mapping[str, Any], path: str, cluster_scoped: frozenset[str]) -> Iterator[Finding]:
    for where, block in _blocks(rule["match"], f"{path}.match"):
        for index, text in enumerate((block.get("resources") or {}).get("kinds") or []):
            selector = parse_kind(text)
            if not selector.kind:
                yield Finding("unreachable", f"{where}.resources.kinds[{index}]", f"`{text}` selects no kind")
            elif selector.kind in cluster_scoped:
                for key in ("namespaces", "namespaceSelector"):
                    if block["resources"].get(key):
                        text = f"`{selector.kind}` objects lie in no namespace, so that the block never matches them"
                        yield Finding("unreachable", f"{where}.resources.{key}", text)


def _blocks(clause: Any, path: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    if not isinstance(clause, Mapping):
        return
    for key in ("any", "all"):
        if clause.get(key):
            yield from ((f"{path}.{key}[{index}]", block) for index, block in enumerate(clause[key]))
            return
    yield path, clause


def _covered(rule: Mapping[str, Any], path: str) -> Iterator[Finding]:
    """A match block that one exclude block covers: no attribute of exclude asks for more than match does."""
    exclude = rule.get("exclude")
    if not exclude or exclude.get("all"):
        return
    excluding = [block for _, block in _blocks(exclude, "") if block]
    for where, block in _blocks(rule["match"], f"{path}.match"):
        if any(_within(block, other) for other in excluding):
            yield Finding("unreachable", where, "exclude covers everything that this block matches")


def _within(block: Mapping[str, Any], exclude: Mapping[str, Any]) -> bool:
    """Is every attribute of `exclude` met by whatever meets `block`? Attributes that cannot be compared say no."""
    asked = {**(exclude.get("resources") or {}), **{key: exclude[key] for key in exclude if key != "resources"}}
    given = {**(block.get("resources") or {}), **{key: block[key] for key in block if key != "resources"}}
    asked = {key: value for key, value in asked.items() if value not in (None, "", [], {})}
    if not asked:
        return False
    for key, wanted in asked.items():
        have = given.get(key)
        if isinstance(wanted, list) and isinstance(have, list):
            if not have or not all(any(_covers(key, other, item) for other in wanted) for item in have):
                return False
        elif have != wanted:
            return False
    return True


def _covers(key: str, pattern: Any, item: Any) -> bool:
    if pattern == item:
        return True
    if not isinstance(pattern, str) or not isinstance(item, str):
        return False
    if key == "kinds":
        outer, inner = parse_kind(pattern), parse_kind(item)
        return all(matches(getattr(outer, part), getattr(inner, part)) for part in ("group", "version", "kind", "subresource"))
    return key in ("names", "namespaces") and matches(pattern, item)


def _contradictions(rule: Mapping[str, Any], path: str, match: CompiledMatch) -> Iterator[Finding]:
    document = rule.get("preconditions")
    if not isinstance(document, dict | list):
        return
    here = f"{path}.preconditions"
    members = document if isinstance(document, list) else as_list(document.get("all"))
    at = here if isinstance(document, list) else f"{here}.all"
    for index, condition in enumerate(members):
        if _decided(condition) is False:
            yield Finding("unreachable", f"{at}[{index}]", "this condition is never met, so the rule is always skipped")
    any_of = document.get("any") if isinstance(document, Mapping) else None
    if isinstance(any_of, list) and all(_decided(condition) is False for condition in any_of):
        yield Finding("unreachable", f"{here}.any", "none of these conditions is ever met, so the rule is always skipped")
    yield from _choices(match, members, at)


def _decided(condition: Any, **instead: Any) -> bool | None:
    """What a condition without variables says; None where it has some, or cannot be asked."""
    condition = {**as_map(condition), **instead}
    try:
        compiled = compile_conditions([condition], path="")
        if not all(template.constant for template in compiled.templates):
            return None
        return compiled(Scope(NOWHERE))[0]
    except (EngineError, LanguageError, Unknown):
        return None


def _choices(match: CompiledMatch, members: list[Any], path: str) -> Iterator[Finding]:
    """Conditions on the same key that leave no value: those that list values against all others on it."""
    by_key: dict[str, list[tuple[int, Mapping[str, Any]]]] = {}
    for index, condition in maps_of(members):
        key = condition.get("key")
        if isinstance(key, str) and VARIABLE.search(key):
            by_key.setdefault(key.replace(" ", ""), []).append((index, condition))
    for key, conditions in by_key.items():
        operations = sorted(match.operations) if key == _OPERATION else None
        for index, condition in conditions:
            values = _literals(condition)
            if values is None:
                continue
            others = [other for position, other in conditions if position != index]
            possible = [value for value in values if all(_decided(other, key=value) is not False for other in others)]
            if operations is not None:
                possible = [value for value in possible if value in operations]
            if not possible:
                why = "match lets no such operation through" if not others else "other conditions on the same key rule it out"
                yield Finding("unreachable", f"{path}[{index}]", f"this condition cannot hold: {why}")
                break


def _literals(condition: Mapping[str, Any]) -> list[str] | None:
    """The only values that the key may have if the condition holds: plain texts, which no other text equals."""
    if condition.get("operator") not in _CHOICES:
        return None
    value = condition.get("value")
    values = value if isinstance(value, list) else [value]
    for one in values:
        if not isinstance(one, str) or "{{" in one or has_wildcard(one) or one[:1] in ("[", "!", "<", ">"):
            return None
        if parse_duration(one) is not None or parse_amount(one) is not None or "-" in one:
            return None
    return [str(one) for one in values] if values else None
