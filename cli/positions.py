"""Where a path of a document stands in its file: line and column, for errors and reports."""

from __future__ import annotations

import re
from typing import Any

from cli.yaml_load import Document

_STEP = re.compile(r"\[(\d+)\]|\.?([^.\[\]]+)")


def place_of(document: Document, path: str) -> tuple[int, int]:
    """(line, column) of `spec.rules[0].name` in the document's file; of the part that exists where the rest does not.

    A key with dots (`metadata.annotations.a.b/c`) is found by its longest form.
    """
    import yaml

    try:
        node = yaml.compose(document.text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    except yaml.YAMLError:
        return document.line, 0
    mark = node.start_mark if node is not None else None
    steps: list[str | int] = [int(index) if index else key for index, key in _STEP.findall(path)]
    while steps and node is not None:
        node, found, steps = _down(node, steps)
        mark = found or mark
    if mark is None:
        return document.line, 0
    return document.line + mark.line, mark.column + 1


def _down(node: Any, steps: list[str | int]) -> tuple[Any, Any, list[str | int]]:
    """(child, mark of the child, steps that are left); no child where the path ends."""
    first = steps[0]
    if isinstance(node.value, list) and isinstance(first, int):
        if first < len(node.value) and not isinstance(node.value[first], tuple):
            child = node.value[first]
            return child, child.start_mark, steps[1:]
        return None, None, []
    if isinstance(node.value, list) and node.value and isinstance(node.value[0], tuple):
        names = [step for step in steps if isinstance(step, str)] if all(isinstance(s, str) for s in steps) else [str(first)]
        for length in range(len(names), 0, -1):
            name = ".".join(names[:length])
            for key, child in node.value:
                if key.value == name:
                    return child, key.start_mark, steps[length:]
    return None, None, []
