"""What the author of a valid policy is told about the kinds of this cluster (spec 3.4)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from controllers.cluster.discovery import Discovery
from engine import KindSelector, Policy, Rule

SUBRESOURCES = {"scale": "replicas", "status": "status"}
"""Subresource -> the field that it writes, past policies that match the whole object alone."""
BODIES = ("validate", "mutate")
PROSE = frozenset({"message", "messageExpression"})


def hints(policy: Policy, discovery: Discovery) -> Iterator[str]:
    """Kinds that nothing serves yet, and subresources that would slip past the policy."""
    for selector in dict.fromkeys(selector for rule in policy.rules for selector in rule.match.kinds):
        if selector.kind != "*" and not discovery.find(selector):
            yield (
                "the kind defined in the all match resource is invalid: unable to convert GVK to GVR for kinds "
                f"{selector.text}, err: failed to find resource ({_place(selector)})"
            )
    for subresource, field in SUBRESOURCES.items():
        if any(_misses(rule, subresource, field, discovery) for rule in policy.rules if not rule.origin):
            yield f"You are matching on {field} but not including the {subresource} subresource in the policy."


def _place(selector: KindSelector) -> str:
    return f"{selector.group}/{selector.version}/{selector.kind}/{selector.subresource}"


def _misses(rule: Rule, subresource: str, field: str, discovery: Discovery) -> bool:
    """Does the rule speak of a field that the subresource writes, and match the kind without it?

    Kyverno looks for the bare word anywhere and warns about much that is right (its issues 6912, 7639, 9840); here the word
    must be a key or a step of a path, and the kind must have the subresource.
    """
    selectors = rule.match.kinds
    if any(selector.subresource for selector in selectors):
        return False
    spoken_of = re.compile(rf"(?:^|\.){field}(?:$|[^\w-])").search
    if not any(spoken_of(text) for body in BODIES for text in _texts(rule.document.get(body))):
        return False
    found = [resource for selector in selectors if selector.kind != "*" for resource in discovery.find(selector)]
    plurals = {(resource.group, resource.version, resource.plural) for resource in found}
    return any(
        resource.subresource == subresource and (resource.group, resource.version, resource.plural) in plurals
        for resource in discovery.resources
    )


def _texts(value: Any) -> Iterator[str]:
    """Keys and expressions of a rule's body, without what is meant for people."""
    if isinstance(value, dict):
        for key, member in value.items():
            if key not in PROSE:
                yield key.strip("=+<X^()")
                yield from _texts(member)
    elif isinstance(value, list):
        for member in value:
            yield from _texts(member)
    elif isinstance(value, str) and ("{{" in value or "." in value):
        yield value
