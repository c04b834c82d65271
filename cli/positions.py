"""Where a path of a document stands in its file: line and column, for errors and reports."""

from __future__ import annotations

import re
from bisect import bisect_right
from functools import lru_cache
from typing import Any

from cli.yaml_load import Document

_STEP = re.compile(r"\[(\d+)\]|\.?([^.\[\]]+)")


def place_of(document: Document, path: str) -> tuple[int, int]:
    """(line, column) of `spec.rules[0].name` in the document's file; of the part that exists where the rest does not.

    A key with dots (`metadata.annotations.a.b/c`) is found by its longest form.
    """
    mark, _ = _found(document, path)
    return (document.line, 0) if mark is None else (document.line + mark.line, mark.column + 1)


def place_in(document: Document, path: str, offset: int) -> tuple[int, int]:
    """The same for a place within the text that stands at `path`: `offset` counts its characters from 0."""
    mark, node = _found(document, path)
    if mark is None or node is None or not isinstance(node.value, str):
        return place_of(document, path)
    lines = document.text.splitlines(keepends=True)
    starts = [0]
    for line in lines:
        starts.append(starts[-1] + len(line))
    first, last = (starts[point.line] + point.column for point in (node.start_mark, node.end_mark))
    word = _WORD.match(node.value, min(offset, len(node.value)))
    at = document.text.find(word[0], first + offset, last) if word else last - 1
    if at < 0:
        return place_of(document, path)
    number = bisect_right(starts, at) - 1
    return document.line + number, at - starts[number] + 1


_WORD = re.compile(r"\w+|[^\w\s]")


def _found(document: Document, path: str) -> tuple[Any, Any]:
    """(mark of the last part of the path that exists, node at the end of the path or None)."""
    node = _composed(document.text)
    path = document.path(path)
    mark = node.start_mark if node is not None else None
    steps: list[str | int] = [int(index) if index else key for index, key in _STEP.findall(path)]
    while steps and node is not None:
        node, found, steps = _down(node, steps)
        mark = found or mark
    return mark, node


@lru_cache(maxsize=4)
def _composed(text: str) -> Any:
    import yaml

    try:
        return yaml.compose(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    except yaml.YAMLError:
        return None


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
