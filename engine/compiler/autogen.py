"""Rules for pod controllers, written from the rules for Pods (spec 2.11, 9.5)."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from engine.clauses.kinds import parse_kind
from engine.errors import InvalidPolicy
from engine.request import Object

ANNOTATION = "pod-policies.kyverno.io/autogen-controllers"
MAX_NAME = 63

CONTROLLERS: dict[str, str] = {
    "DaemonSet": "apps/v1/DaemonSet",
    "Deployment": "apps/v1/Deployment",
    "Job": "batch/v1/Job",
    "ReplicaSet": "apps/v1/ReplicaSet",
    "ReplicationController": "v1/ReplicationController",
    "StatefulSet": "apps/v1/StatefulSet",
    "CronJob": "batch/v1/CronJob",
}
"""The controllers that get generated rules, and how the rules name them."""


_ANY_VERSION = {name: name.replace("/v1/", "/*/") for name in CONTROLLERS.values() if name.count("/") == 2}


class _Flavour(NamedTuple):
    """How one group of controllers holds its pods: `place` is where the pod template stands."""

    prefix: str
    place: tuple[str, ...]


_TEMPLATE = _Flavour("autogen-", ("spec", "template"))
_CRON_JOB = _Flavour("autogen-cronjob-", ("spec", "jobTemplate", "spec", "template"))


@dataclass(frozen=True, slots=True)
class Generated:
    """A generated rule: `index` is the position of the written rule in spec.rules."""

    index: int
    origin: str
    document: Object


def controllers_of(annotations: Mapping[str, str]) -> tuple[str, ...]:
    """The controllers the policy's annotation asks for, sorted by name; all of them without the annotation.

    Names are taken as written, between commas, blanks included: a misspelt one matches nothing (oracle autogen.json).
    """
    wish = annotations.get(ANNOTATION)
    if wish is None:
        return tuple(CONTROLLERS)
    names = wish.split(",")
    if "all" in names:
        raise InvalidPolicy(
            "metadata.annotations",
            "Forbidden: Autogen annotation does not support 'all' anymore, remove the annotation or set it to a valid value",
        )
    if wish == "none":
        return ()
    return tuple(sorted({name for name in names if name.strip() and name == name.strip()}))


def generated_rules(annotations: Mapping[str, str], rules: Sequence[Object]) -> Iterator[Generated]:
    """The generated rules of a policy, each written rule's together. Raises `InvalidPolicy` for the annotation value `all`."""
    controllers = controllers_of(annotations)
    if not controllers or not _can_generate(rules):
        return
    templates = [name for name in controllers if name != "CronJob"]
    for index, rule in enumerate(rules):
        name = str(rule.get("name") or "")
        if name.startswith(_TEMPLATE.prefix) or not _concerns_pods(rule):
            continue
        if templates:
            yield Generated(index, name, _rewritten(rule, _TEMPLATE, templates))
        if "CronJob" in controllers:
            yield Generated(index, name, _rewritten(rule, _CRON_JOB, ["CronJob"]))


def in_any_version(clause: Any) -> Any:
    """A match or exclude clause of a generated rule as it is evaluated: its controllers in whatever version they come.

    The rules name one version for the reader of status.autogen; Kyverno 1.16.3 matched the kind alone, and its CLI tests hold
    a batch/v1beta1 CronJob.
    """
    if isinstance(clause, dict):
        return {key: in_any_version(value) for key, value in clause.items()}
    if isinstance(clause, list):
        return [in_any_version(value) for value in clause]
    return _ANY_VERSION.get(clause, clause) if isinstance(clause, str) else clause


def _can_generate(rules: Sequence[Object]) -> bool:
    """A property of the whole policy: one rule that cannot be rewritten keeps all of them from it."""
    for rule in rules:
        mutate = rule.get("mutate") or {}
        if rule.get("generate") or mutate.get("patchesJson6902"):
            return False
        if any(entry.get("patchesJson6902") for entry in _foreach_entries(mutate.get("foreach"))):
            return False
        for resources in (*_resources(rule.get("match")), *_resources(rule.get("exclude"))):
            if any(resources.get(field) for field in ("name", "names")) or any(
                resources.get(field) is not None for field in ("selector", "annotations")
            ):
                return False
            kinds = resources.get("kinds") or []
            if len(kinds) > 1 and _has_pod(kinds):
                return False
    return True


def _foreach_entries(entries: Any) -> Iterator[Object]:
    for entry in entries or []:
        yield entry
        yield from _foreach_entries(entry.get("foreach"))


def _concerns_pods(rule: Object) -> bool:
    if (rule.get("mutate") or {}).get("targets"):
        return False  # the patch is for the targets, which have no template
    excluded = [kind for resources in _resources(rule.get("exclude")) for kind in resources.get("kinds") or []]
    matched = [kind for resources in _resources(rule.get("match")) for kind in resources.get("kinds") or []]
    return _has_pod(matched) and (not excluded or _has_pod(excluded))


def _resources(clause: Any) -> Iterator[Object]:
    """The `resources` blocks of a match or exclude clause."""
    if not isinstance(clause, dict):
        return
    for block in (clause, *(clause.get("any") or []), *(clause.get("all") or [])):
        resources = block.get("resources")
        if isinstance(resources, dict):
            yield resources


def _has_pod(kinds: Sequence[str]) -> bool:
    return any(parse_kind(kind).kind == "Pod" for kind in kinds)


def _rewritten(rule: Object, flavour: _Flavour, controllers: Sequence[str]) -> Object:
    document: Object = json.loads(_shifted(json.dumps(rule, ensure_ascii=False), flavour, cel=_is_cel(rule)))
    document["name"] = f"{flavour.prefix}{rule.get('name')}"[:MAX_NAME]
    kinds = [CONTROLLERS.get(name, name) for name in controllers]
    for clause in ("match", "exclude"):
        if isinstance(document.get(clause), dict):
            for resources in _resources(document[clause]):
                if _has_pod(resources.get("kinds") or []):
                    resources["kinds"] = kinds
            document[clause].setdefault("resources", {})
    document.setdefault("skipBackgroundRequests", True)
    validate = document.get("validate")
    if isinstance(validate, dict):
        validate.setdefault("allowExistingViolations", True)
        if validate.get("pattern") is not None:
            validate["pattern"] = _placed(validate["pattern"], flavour)
        if isinstance(validate.get("anyPattern"), list):
            validate["anyPattern"] = [_placed(pattern, flavour) for pattern in validate["anyPattern"]]
    mutate = document.get("mutate")
    if isinstance(mutate, dict):
        for holder in (mutate, *_foreach_entries(mutate.get("foreach"))):
            if holder.get("patchStrategicMerge") is not None:
                holder["patchStrategicMerge"] = _placed(holder["patchStrategicMerge"], flavour)
    return document


def _is_cel(rule: Object) -> bool:
    return (rule.get("validate") or {}).get("cel") is not None


def _shifted(text: str, flavour: _Flavour, *, cel: bool) -> str:
    """The rule's text with every mention of the pod's spec and metadata moved into the template, messages included (spec 9.8)."""
    place = ".".join(flavour.place)
    prefixes = ("object", "oldObject") if cel else ("request.object", "request.oldObject")
    for prefix in prefixes:
        for field in ("spec", "metadata"):
            text = text.replace(f"{prefix}.{field}", f"{prefix}.{place}.{field}")
    return text


def _placed(value: Any, flavour: _Flavour) -> Any:
    for step in reversed(flavour.place):
        value = {step: value}
    return value
