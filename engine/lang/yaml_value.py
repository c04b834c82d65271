"""YAML text -> JSON value, with the types that Kubernetes' YAML reader (sigs.k8s.io/yaml) sees.

YAML 1.1 booleans (`yes`, `on`), octal `012` and `0o17`, `1_000`; dates and `1:30` stay strings; every key is a string.
"""

from __future__ import annotations

import base64
import binascii
import math
import re
from typing import Any

import yaml

from engine.lang import go_json
from engine.lang.errors import LanguageError

MAX_DEPTH = 900
"""Sequences and maps inside each other."""
MAX_NODES = 1_000_000
"""Aliases can make a small text huge: the bound on what it may become."""

_BOOLEANS = {word: value for value, words in ((True, "y yes true on"), (False, "n no false off")) for word in words.split()}
_NULLS = frozenset(("", "~", "null", "Null", "NULL"))
_INTEGER = re.compile(r"([+-]?)(?:0[xX]([0-9a-fA-F]+)|0[bB]([01]+)|0[oO]?([0-7]+)|(0|[1-9][0-9]*))", re.ASCII)
_FLOAT = re.compile(r"[+-]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][+-]?[0-9]+)?", re.ASCII)
_SPECIAL = re.compile(r"[+-]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)")
_TAG = "tag:yaml.org,2002:"
_RESOLVED = frozenset(f"{_TAG}{name}" for name in ("int", "float", "bool", "null"))
_UNTAGGED = "?"
_BASE: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class InvalidYAML(LanguageError):
    """A text that is no YAML, or YAML that has no JSON. `line` and `column` count from 1, 0 where they are not known."""

    def __init__(self, message: str, reason: str = "", line: int = 0, column: int = 0) -> None:
        super().__init__(message)
        self.reason = reason or message.removeprefix("yaml: ")
        self.line = line
        self.column = column


class TooManyValues(InvalidYAML):
    """More scalars, lists and maps than the reader was told to take."""


class _TooDeep(Exception):
    """More nested nodes than MAX_DEPTH."""


class _TooMany(Exception):
    """More nodes than are wanted."""


class _Loader(_BASE):  # type: ignore[misc]  # chosen at import
    """Composes nodes only; a plain scalar stays untagged, for its type is ours to find."""

    def __init__(self, text: str, nodes: int) -> None:
        super().__init__(text)
        self._depth = 0
        self._left = nodes

    def descend_resolver(self, *_: Any) -> None:
        # INVARIANT (stack): the C parser composes nested nodes by recursion and would overrun the stack of the process
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise _TooDeep
        self._left -= 1
        if self._left < 0:
            raise _TooMany

    def ascend_resolver(self) -> None:
        self._depth -= 1

    def resolve(self, kind: Any, value: Any, implicit: Any) -> str:
        if kind is yaml.ScalarNode:
            return _UNTAGGED if implicit[0] else f"{_TAG}str"
        return f"{_TAG}seq" if kind is yaml.SequenceNode else f"{_TAG}map"


def load(text: str, *, unique: bool = False, nodes: int = MAX_NODES) -> Any:
    """The first document of `text` as a JSON value; null when there is none. Raises `InvalidYAML`.

    Of a key that comes twice the last counts; with `unique` it is an error. A text of more than `nodes` values of any kind is
    `TooManyValues`: reading takes time for each.
    """
    loader: Any = None
    try:
        loader = _Loader(text, nodes)
        node = loader.get_node() if loader.check_node() else None
    except yaml.YAMLError as error:
        raise _invalid(error) from None
    except (_TooDeep, RecursionError):
        raise InvalidYAML("yaml: exceeded max depth") from None
    except _TooMany:
        raise TooManyValues(f"yaml: more than {nodes} values") from None
    except ValueError:
        raise InvalidYAML("yaml: the document cannot be read") from None
    finally:
        if loader is not None:
            loader.dispose()
    if node is None:
        return None
    try:
        return _Converter(unique).value(node)
    except RecursionError:
        raise InvalidYAML("yaml: exceeded max depth") from None


def _invalid(error: yaml.YAMLError) -> InvalidYAML:
    problem = str(getattr(error, "problem", None) or error).splitlines()[0]
    return _at(problem, getattr(error, "problem_mark", None))


def _at(problem: str, mark: Any) -> InvalidYAML:
    if mark is None:
        return InvalidYAML(f"yaml: {problem}", problem)
    return InvalidYAML(f"yaml: line {mark.line + 1}: {problem}", problem, mark.line + 1, mark.column + 1)


class _Converter:
    def __init__(self, unique: bool) -> None:
        self.unique = unique
        self.nodes = 0
        self.open: set[int] = set()

    def value(self, node: yaml.Node) -> Any:
        self.nodes += 1
        if self.nodes > MAX_NODES:
            raise InvalidYAML("yaml: document contains excessive aliasing")
        if isinstance(node, yaml.ScalarNode):
            return _scalar(node)
        if id(node) in self.open:
            raise InvalidYAML("yaml: anchor value contains itself")
        self.open.add(id(node))
        try:
            if isinstance(node, yaml.SequenceNode):
                return [self.value(item) for item in node.value]
            return self.mapping(node)
        finally:
            self.open.discard(id(node))

    def mapping(self, node: yaml.Node) -> dict[str, Any]:
        merged: dict[str, Any] = {}
        own: dict[str, Any] = {}
        for key, item in node.value:
            if isinstance(key, yaml.ScalarNode) and key.value == "<<" and key.tag == _UNTAGGED:
                for source in item.value if isinstance(item, yaml.SequenceNode) else [item]:
                    if not isinstance(source, yaml.MappingNode):
                        raise InvalidYAML("yaml: map merge requires map or sequence of maps as the value")
                    merged = {**self.value(source), **merged}
            else:
                name = _key(key)
                if self.unique and name in own:
                    raise _at(f"key `{name}` is given twice", key.start_mark)
                own[name] = self.value(item)
        return {**merged, **own} if merged else own


def _key(node: yaml.Node) -> str:
    if not isinstance(node, yaml.ScalarNode):
        raise InvalidYAML("yaml: a list or map cannot be a key")
    value = _scalar(node)
    return value if isinstance(value, str) else go_json.dumps(value)


def _scalar(node: yaml.ScalarNode) -> Any:
    if node.tag == _UNTAGGED or node.tag in _RESOLVED:
        return _plain(node.value)
    return _binary(node.value) if node.tag == f"{_TAG}binary" else node.value


def _binary(text: str) -> str:
    try:
        return base64.b64decode(text, validate=False).decode("utf-8", "replace")
    except binascii.Error:
        raise InvalidYAML("yaml: !!binary value contains invalid base64 data") from None


def _plain(text: str) -> Any:
    if text in _NULLS:
        return None
    if text.lower() in _BOOLEANS and text in (text.lower(), text.upper(), text.capitalize()):
        return _BOOLEANS[text.lower()]
    digits = text.replace("_", "") if text[0] in "+-.0123456789" else ""
    found = _INTEGER.fullmatch(digits) if digits else None
    if found is not None:
        sign, hexadecimal, binary, octal, decimal = found.groups()
        number = next(int(part, base) for part, base in ((hexadecimal, 16), (binary, 2), (octal, 8), (decimal, 10)) if part)
        return -number if sign == "-" else number
    if digits and _FLOAT.fullmatch(digits):
        value = float(digits)
        if math.isinf(value):
            raise InvalidYAML(f"json: unsupported value: {text}")
        return int(value) if value.is_integer() and abs(value) < 1 << 53 else value
    if _SPECIAL.fullmatch(text):
        raise InvalidYAML(f"json: unsupported value: {'NaN' if 'n' in text.lower()[-3:-1] else '+Inf'}")
    return text
