"""Compilers that are loaded when a policy first needs them: CEL is a third of the engine's start-up time and memory."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any


def later(module: str, name: str) -> Callable[..., Any]:
    """A function that imports `module` at its first call and hands over to its `name`."""

    def call(*arguments: Any, **options: Any) -> Any:
        return getattr(import_module(module), name)(*arguments, **options)

    return call
