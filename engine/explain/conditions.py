"""Conditions one by one: preconditions, deny, exceptions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from engine.clauses.conditions import compile_conditions
from engine.errors import EvaluationError, Unknown
from engine.explain.expressions import template_step
from engine.explain.step import ABSENT, Step
from engine.scope import Scope


def conditions_step(title: str, document: Any, scope: Scope, path: str) -> Step:
    """The whole, its `any` and `all` blocks, and every condition with the values of its key and value.

    All conditions are asked, also those behind the one that decided.
    """
    holds, note = _met(document, scope, path)
    return Step(title, holds, path, note=note, steps=tuple(_blocks(document, scope, path)))


def _met(document: Any, scope: Scope, path: str) -> tuple[bool | None, str]:
    try:
        met, message = compile_conditions(document, path=path)(scope)
    except EvaluationError as error:
        return None, str(error)
    except Unknown as unknown:
        return None, f"not known here: {unknown}"
    return met, message


def _blocks(document: Any, scope: Scope, path: str) -> Iterator[Step]:
    if isinstance(document, list):
        yield from _members(document, scope, path)
        return
    for block in ("any", "all"):
        if document.get(block) is not None:
            here = f"{path}.{block}"
            holds, _ = _met({block: document[block]}, scope, path)
            yield Step(block, holds, here, steps=tuple(_members(document[block], scope, here)))


def _members(documents: list[Any], scope: Scope, path: str) -> Iterator[Step]:
    for index, document in enumerate(documents):
        yield _condition_step(document, scope, f"{path}[{index}]")


def _condition_step(document: Mapping[str, Any], scope: Scope, path: str) -> Step:
    key, value = compile_conditions([document], path=path).templates
    holds, note = _met([document], scope, path)
    key_step = template_step("key", key, scope, f"{path}.key")
    value_step = template_step("value", value, scope, f"{path}.value")
    steps = tuple(step for step in (key_step, value_step) if step.steps or step.note)
    wanted = value_step.found if value_step.found is not ABSENT else value.value
    return Step(
        f"{_shown(document['key'])} {document['operator']}",
        holds,
        path,
        wanted=wanted,
        found=key_step.found,
        note=note if holds is None else str(document.get("message") or ""),
        steps=steps,
    )


def _shown(key: Any) -> str:
    return key if isinstance(key, str) else "key"
