"""Whether a failing rule denies or is only reported: failureAction and its overrides (spec 3.7)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from engine.errors import InvalidPolicy
from engine.lang.selector import InvalidSelector, compile_selector
from engine.lang.wildcard import compile_wildcard
from engine.policy import Action
from engine.request import Request

Choose = Callable[[Request], Action]
_SPELLINGS: dict[str, Action] = {"enforce": "Enforce", "audit": "Audit"}


def compile_action(spec: Mapping[str, Any], rule: Mapping[str, Any], *, path: str) -> Choose:
    """The effective action of a rule: its overrides, its own action, the policy's overrides, the policy's action, Audit.

    The first override whose namespaces and namespaceSelector fit the request decides. verifyImages rules enforce where any
    entry does.
    """
    validate = rule.get("validate") or {}
    actions = [entry.get("failureAction") for entry in rule.get("verifyImages") or []]
    actions = [action for action in (validate.get("failureAction"), *actions) if action]
    own = None if not actions else ("Enforce" if "Enforce" in actions else "Audit")
    overrides = _overrides(validate.get("failureActionOverrides"), f"{path}.validate.failureActionOverrides")
    if own is None:
        overrides += _overrides(spec.get("validationFailureActionOverrides"), "spec.validationFailureActionOverrides")
        own = spec.get("validationFailureAction") or "Audit"
    default = _SPELLINGS[own.lower()]
    if not overrides:
        return lambda _request: default

    def choose(request: Request) -> Action:
        for applies, action in overrides:
            if applies(request):
                return action
        return default

    return choose


def _overrides(documents: Any, path: str) -> list[tuple[Callable[[Request], bool], Action]]:
    return [
        (_applies(override, f"{path}[{index}]"), _SPELLINGS[str(override["action"]).lower()])
        for index, override in enumerate(documents or [])
        if override.get("action")
    ]


def _applies(override: Mapping[str, Any], path: str) -> Callable[[Request], bool]:
    names = [compile_wildcard(name) for name in override.get("namespaces") or []]
    document = override.get("namespaceSelector")
    try:
        selector = compile_selector(document) if document is not None else None
    except InvalidSelector as error:
        raise InvalidPolicy(f"{path}.namespaceSelector", str(error)) from error

    def applies(request: Request) -> bool:
        if names and not any(name(request.namespace) for name in names):
            return False
        if selector is None:
            return bool(names)
        return request.namespace_labels is not None and selector(request.namespace_labels)

    return applies
