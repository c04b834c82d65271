"""Settings from the ConfigMap `kyverno` (spec 3.3), as one frozen object that requests and webhooks read."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from controllers.cluster.watch import Event, Listed

logger = logging.getLogger("pyvern.settings")
_DIGITS = re.compile(r"[0-9]{1,15}")
Json = Any
DEFAULT_NAMESPACES = ("kube-system",)
"""Never sent to our webhooks when the ConfigMap does not say otherwise; our own namespace comes on top (design.md 10)."""


class InvalidSetting(ValueError):
    """A key of the ConfigMap that cannot be understood."""

    def __init__(self, key: str, reason: str) -> None:
        super().__init__(f"data.{key}: {reason}")
        self.key = key
        self.reason = reason


@dataclass(frozen=True, slots=True)
class WebhookDefaults:
    """What every resource webhook gets besides its rules."""

    namespace_selector: Json = field(default_factory=dict)
    object_selector: Json = field(default_factory=dict)
    match_conditions: tuple[Mapping[str, str], ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Settings:
    """The ConfigMap, read. `resource_filters` and `exclude_*` stay texts: the engine compiles them (engine.clauses.filters)."""

    webhooks: WebhookDefaults = WebhookDefaults()
    resource_filters: str = ""
    exclude_groups: str = "system:nodes"
    exclude_usernames: str = ""
    exclude_roles: str = ""
    exclude_cluster_roles: str = ""
    generate_success_events: bool = False
    success_event_actions: frozenset[str] = frozenset()
    update_request_threshold: int = 1000
    default_registry: str = "docker.io"
    enable_default_registry_mutation: bool = True
    max_context_size: int = 2 * 1024 * 1024

    @property
    def needs_roles(self) -> bool:
        return bool(self.exclude_roles or self.exclude_cluster_roles)


def default_settings(namespace: str) -> Settings:
    """What holds without a ConfigMap, in the installation namespace `namespace`."""
    selector = {
        "matchExpressions": [
            {"key": "kubernetes.io/metadata.name", "operator": "NotIn", "values": [name]}
            for name in dict.fromkeys((*DEFAULT_NAMESPACES, namespace))
        ]
    }
    return Settings(webhooks=WebhookDefaults(namespace_selector=selector))


def data_of(event: Event) -> dict[str, str] | None:
    """The data of the one ConfigMap that is watched; None when it is not there."""
    if isinstance(event, Listed):
        found = event.objects[0] if event.objects else None
    else:
        found = None if event.type == "DELETED" else event.object
    return None if found is None else found.get("data") or {}


def read(data: Mapping[str, str], *, last: Settings, defaults: Settings) -> tuple[Settings, tuple[InvalidSetting, ...]]:
    """Settings of a ConfigMap's data. A key that is absent has its default; one that is nonsense keeps its `last` value.

    The second part of the answer names the nonsense.
    """
    faults: list[InvalidSetting] = []
    values: dict[str, Any] = {}
    for name, key, parse in FIELDS:
        if key not in data:
            values[name] = getattr(defaults, name)
            continue
        try:
            values[name] = parse(key, data[key])
        except InvalidSetting as invalid:
            faults.append(invalid)
            values[name] = getattr(last, name)
    hooks: dict[str, Any] = {}
    for name, key, parse in WEBHOOK_FIELDS:
        try:
            hooks[name] = parse(key, data[key]) if data.get(key, "").strip() else getattr(defaults.webhooks, name)
        except InvalidSetting as invalid:
            faults.append(invalid)
            hooks[name] = getattr(last.webhooks, name)
    selectors, fault = _selectors(data.get("webhooks", ""), last.webhooks, defaults.webhooks)
    if fault is not None:
        faults.append(fault)
    return Settings(webhooks=WebhookDefaults(**hooks, **selectors), **values), tuple(faults)


def _selectors(text: str, last: WebhookDefaults, defaults: WebhookDefaults) -> tuple[dict[str, Json], InvalidSetting | None]:
    if not text.strip():
        return {"namespace_selector": defaults.namespace_selector, "object_selector": defaults.object_selector}, None
    try:
        document = _json("webhooks", text)
        if isinstance(document, list):
            document = document[0] if document else {}
        if not isinstance(document, dict):
            raise InvalidSetting("webhooks", "must be an object with namespaceSelector and objectSelector")
        return {
            "namespace_selector": _selector("webhooks", document, "namespaceSelector"),
            "object_selector": _selector("webhooks", document, "objectSelector"),
        }, None
    except InvalidSetting as fault:
        return {"namespace_selector": last.namespace_selector, "object_selector": last.object_selector}, fault


def _selector(key: str, document: Mapping[str, Json], name: str) -> Json:
    selector = document.get(name)
    if selector is None:
        return {}
    if not isinstance(selector, dict) or not set(selector) <= {"matchLabels", "matchExpressions"}:
        raise InvalidSetting(key, f"{name} is no label selector")
    labels, expressions = selector.get("matchLabels") or {}, selector.get("matchExpressions") or []
    if not isinstance(labels, dict) or not all(isinstance(value, str) for value in labels.values()):
        raise InvalidSetting(key, f"{name}.matchLabels must map strings to strings")
    for expression in expressions if isinstance(expressions, list) else [None]:
        if not isinstance(expression, dict) or expression.get("operator") not in ("In", "NotIn", "Exists", "DoesNotExist"):
            raise InvalidSetting(key, f"{name}.matchExpressions: unknown operator")
        if not expression.get("key"):
            raise InvalidSetting(key, f"{name}.matchExpressions: a key is missing")
        if (expression["operator"] in ("In", "NotIn")) != bool(expression.get("values")):
            raise InvalidSetting(key, f"{name}.matchExpressions: {expression['operator']} with the wrong number of values")
    return {name: part for name, part in (("matchLabels", labels), ("matchExpressions", expressions)) if part}


def _json(key: str, text: str) -> Json:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise InvalidSetting(key, f"no JSON: {error}") from error


def _pairs(key: str, text: str) -> Mapping[str, str]:
    document = _json(key, text)
    if not isinstance(document, dict) or not all(isinstance(value, str) for value in document.values()):
        raise InvalidSetting(key, "must map strings to strings")
    return document


def _conditions(key: str, text: str) -> tuple[Mapping[str, str], ...]:
    document = _json(key, text)
    if not isinstance(document, list) or not all(
        isinstance(entry, dict) and entry.get("name") and entry.get("expression") for entry in document
    ):
        raise InvalidSetting(key, "must be a list of objects with name and expression")
    return tuple({"name": str(entry["name"]), "expression": str(entry["expression"])} for entry in document)


def _words(key: str, text: str) -> tuple[str, ...]:
    return tuple(word for word in (part.strip() for part in text.split(",")) if word)


def _boolean(key: str, text: str) -> bool:
    value = {"true": True, "t": True, "1": True, "false": False, "f": False, "0": False}.get(text.strip().lower())
    if value is None:
        raise InvalidSetting(key, f"`{text}` is neither true nor false")
    return value


def _count(key: str, text: str) -> int:
    if _DIGITS.fullmatch(text.strip()) is None:
        raise InvalidSetting(key, f"`{text}` is no number")
    return int(text)


def _size(key: str, text: str) -> int:
    for suffix, factor in (("Ki", 1 << 10), ("Mi", 1 << 20), ("Gi", 1 << 30), ("", 1)):
        if _DIGITS.fullmatch(text.strip().removesuffix(suffix)) and text.strip().endswith(suffix):
            return int(text.strip().removesuffix(suffix)) * factor
    raise InvalidSetting(key, f"`{text}` is no size")


def _actions(key: str, text: str) -> frozenset[str]:
    return frozenset(_words(key, text))


def _filters(key: str, text: str) -> str:
    if text.strip() and "[" not in text:
        raise InvalidSetting(key, "no tuple such as [Pod,default,*] in it")
    return text.strip()


def _text(key: str, text: str) -> str:
    return text.strip()


Parser = Callable[[str, str], Any]
FIELDS: Sequence[tuple[str, str, Parser]] = (
    ("resource_filters", "resourceFilters", _filters),
    ("exclude_groups", "excludeGroups", _text),
    ("exclude_usernames", "excludeUsernames", _text),
    ("exclude_roles", "excludeRoles", _text),
    ("exclude_cluster_roles", "excludeClusterRoles", _text),
    ("generate_success_events", "generateSuccessEvents", _boolean),
    ("success_event_actions", "successEventActions", _actions),
    ("update_request_threshold", "updateRequestThreshold", _count),
    ("default_registry", "defaultRegistry", _text),
    ("enable_default_registry_mutation", "enableDefaultRegistryMutation", _boolean),
    ("max_context_size", "maxContextSize", _size),
)
WEBHOOK_FIELDS: Sequence[tuple[str, str, Parser]] = (
    ("match_conditions", "matchConditions", _conditions),
    ("labels", "webhookLabels", _pairs),
    ("annotations", "webhookAnnotations", _pairs),
)
