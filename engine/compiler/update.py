"""What may change in a policy that exists: generate rules keep their triggers, so that downstreams stay theirs (spec 2.8)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from engine.errors import InvalidPolicy
from engine.lang import go_json
from engine.request import Object

IMMUTABLE = "changes of immutable fields of a rule spec in a generate rule is disallowed"
STALE = "no synchronization will be performed to the old target resource upon policy updates"
_TARGET = ("apiVersion", "kind", "namespace", "name", "clone", "cloneList", "foreach")


def check_update(before: Mapping[str, Any], after: Mapping[str, Any]) -> None:
    """Compares two versions of a ClusterPolicy or Policy, both of the right shape; raises `InvalidPolicy`.

    Generate rules may come or go, but not both in one update, and what stays keeps everything but its `generate`.
    """
    new = list(_generate_rules(after))
    if not new:
        return
    old_triggers = {_trigger(rule) for _, rule in _generate_rules(before)}
    new_triggers = {_trigger(rule) for _, rule in new}
    growing = len(_rules(before)) <= len(_rules(after))
    if not (old_triggers <= new_triggers if growing else new_triggers <= old_triggers):
        index = next((index for index, rule in new if _trigger(rule) not in old_triggers), new[0][0])
        raise InvalidPolicy(f"spec.rules[{index}]", IMMUTABLE)


def update_warnings(before: Mapping[str, Any], after: Mapping[str, Any]) -> tuple[str, ...]:
    """What the author of an update should know, accepted or not: another target leaves the old downstreams behind."""
    targets = {rule["name"]: _targets(rule) for _, rule in _generate_rules(before)}
    stale = any(targets.get(rule["name"], target) != target for rule, target in _new_targets(after))
    return (STALE,) if stale else ()


def _new_targets(document: Mapping[str, Any]) -> Iterator[tuple[Object, list[Any]]]:
    return ((rule, _targets(rule)) for _, rule in _generate_rules(document))


def _rules(document: Mapping[str, Any]) -> list[Object]:
    return list((document.get("spec") or {}).get("rules") or ())


def _generate_rules(document: Mapping[str, Any]) -> Iterator[tuple[int, Object]]:
    return ((index, rule) for index, rule in enumerate(_rules(document)) if rule.get("generate"))


def _trigger(rule: Object) -> str:
    return go_json.dumps({key: value for key, value in rule.items() if key != "generate" and value is not None})


def _targets(rule: Object) -> list[Any]:
    """What says where the rule's downstreams are and come from."""
    generate = rule["generate"]
    return [generate.get(field) for field in _TARGET]
