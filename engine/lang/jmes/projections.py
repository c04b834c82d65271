"""Projections: one closure for every element. What is null (or unknown) on the right side is dropped."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from engine.lang.jmes.syntax import Ast
from engine.lang.jmes.values import NUMBERS

Closure = Callable[[Any], Any]


def projected(base: Closure, each: Closure, each_ast: Ast) -> Closure:
    """`base[*].each`: null unless `base` gives a list. `each_ast` lets the two common shapes avoid a call per element."""
    if each_ast["type"] == "identity":

        def elements(value: Any) -> Any:
            found = base(value)
            return [item for item in found if item is not None] if found.__class__ is list else None

        return elements
    if each_ast["type"] == "field":
        name = each_ast["value"]

        def fields(value: Any) -> Any:
            found = base(value)
            if found.__class__ is not list:
                return None
            return [part for item in found if item.__class__ is dict and (part := item.get(name)) is not None]

        return fields

    def project(value: Any) -> Any:
        found = base(value)
        return [part for item in found if (part := each(item)) is not None] if found.__class__ is list else None

    return project


def values_projected(base: Closure, each: Closure) -> Closure:
    """`base.*.each`: null unless `base` gives an object. The values come in the object's order."""

    def project(value: Any) -> Any:
        found = base(value)
        return [part for item in found.values() if (part := each(item)) is not None] if found.__class__ is dict else None

    return project


def filtered(base: Closure, keep: Closure, each: Closure, each_ast: Ast) -> Closure:
    """`base[?keep].each`: null unless `base` gives a list."""
    if each_ast["type"] == "identity":

        def select(value: Any) -> Any:
            found = base(value)
            if found.__class__ is not list:
                return None
            return [item for item in found if item is not None and ((met := keep(item)) or met.__class__ in NUMBERS)]

        return select

    def project(value: Any) -> Any:
        found = base(value)
        if found.__class__ is not list:
            return None
        kept = [item for item in found if (met := keep(item)) or met.__class__ in NUMBERS]
        return [part for item in kept if (part := each(item)) is not None]

    return project


def flattened(base: Closure) -> Closure:
    """`base[]`: the elements, lists among them replaced by their own elements."""

    def flatten(value: Any) -> Any:
        found = base(value)
        if found.__class__ is not list:
            return None
        merged: list[Any] = []
        for item in found:
            if item.__class__ is list:
                merged.extend(item)
            else:
                merged.append(item)
        return merged

    return flatten
