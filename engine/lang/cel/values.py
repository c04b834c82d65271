"""CEL values in Python. JSON's types stand for themselves (bool, int, float, str, list, dict, None), bytes are bytes.

INVARIANT (exact classes): code here decides on `value.__class__`, never on isinstance: bool, `UInt`, `Timestamp` and
`Duration` are ints to Python only. A dict has string keys; maps with other keys are `KeyedMap`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, ClassVar

from engine.lang.cel import kinds
from engine.lang.cel.errors import CelError

INT_MAX = (1 << 63) - 1
INT_MIN = -(1 << 63)
UINT_MAX = (1 << 64) - 1


class UInt(int):
    """An unsigned 64-bit number; equal to ints and floats of the same value."""

    __slots__ = ()


class Timestamp(int):
    """Nanoseconds since 1970-01-01T00:00:00Z, from year 1 to 9999."""

    __slots__ = ()


class Duration(int):
    """Nanoseconds, signed 64 bits."""

    __slots__ = ()


class TypeValue:
    """The value of `type(x)`: a name."""

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name = name

    def __eq__(self, other: object) -> bool:
        return isinstance(other, TypeValue) and self.name == other.name

    def __hash__(self) -> int:
        return hash(self.name)


class Opaque:
    """Base of library types: `kind` is the CEL type's name. Equality is `__eq__`."""

    __slots__ = ()
    kind: ClassVar[str]


class Optional:
    """`optional.of(value)`, or `NONE`."""

    __slots__ = ("value",)

    def __init__(self, value: Any) -> None:
        self.value = value

    def __eq__(self, other: object) -> bool:
        if self is NONE or other is NONE:
            return self is other
        return isinstance(other, Optional) and equal(self.value, other.value)

    def __hash__(self) -> int:
        raise TypeError("optional values are no keys")


NONE = Optional(None)
"""`optional.none()`, the only Optional without a value."""

_BOOL_KEYS = {True: object(), False: object()}
_BOOLS = {key: value for value, key in _BOOL_KEYS.items()}
_KEY_CLASSES = frozenset({bool, int, UInt, str})


class KeyedMap:
    """A map with keys other than strings. Numbers of equal value are one key, as in CEL; bools are keys of their own."""

    __slots__ = ("_entries",)

    def __init__(self, pairs: Iterable[tuple[Any, Any]] = ()) -> None:
        self._entries: dict[Any, Any] = {}
        for key, value in pairs:
            self.add(key, value)

    def add(self, key: Any, value: Any) -> None:
        if key.__class__ not in _KEY_CLASSES:
            raise CelError("unsupported key type")
        inner = _BOOL_KEYS[key] if key.__class__ is bool else key
        if inner in self._entries:
            raise CelError("Failed with repeated key")
        self._entries[inner] = value

    def __getitem__(self, key: Any) -> Any:
        """The value of a key; KeyError where there is none."""
        if key.__class__ is bool:
            return self._entries[_BOOL_KEYS[key]]
        if key.__class__ in (int, UInt, float, str):
            return self._entries[key]
        raise KeyError(key)

    def __len__(self) -> int:
        return len(self._entries)

    def __iter__(self) -> Iterator[Any]:
        return (_BOOLS.get(key, key) for key in self._entries)

    def items(self) -> Iterator[tuple[Any, Any]]:
        return ((_BOOLS.get(key, key), value) for key, value in self._entries.items())

    def __eq__(self, other: object) -> bool:
        return isinstance(other, KeyedMap) and _same_entries(self, other)

    def __hash__(self) -> int:
        raise TypeError("maps are no keys")


def make_map(pairs: list[tuple[Any, Any]]) -> dict[str, Any] | KeyedMap:
    """A map of key-value pairs. Raises `CelError` for a repeated key and for keys that are no bool, int, uint or string."""
    if all(key.__class__ is str for key, _ in pairs):
        found = dict(pairs)
        if len(found) != len(pairs):
            raise CelError("Failed with repeated key")
        return found
    return KeyedMap(pairs)


_KINDS: dict[type, str] = {
    bool: kinds.BOOL,
    int: kinds.INT,
    UInt: kinds.UINT,
    float: kinds.DOUBLE,
    str: kinds.STRING,
    bytes: kinds.BYTES,
    list: kinds.LIST,
    dict: kinds.MAP,
    KeyedMap: kinds.MAP,
    type(None): kinds.NULL,
    Timestamp: kinds.TIMESTAMP,
    Duration: kinds.DURATION,
    TypeValue: kinds.TYPE,
    Optional: kinds.OPTIONAL,
}
NUMBERS: frozenset[Any] = frozenset({int, UInt, float})
MAPS: frozenset[Any] = frozenset({dict, KeyedMap})
_ORDERED = frozenset({int, UInt, float, str, bytes, bool, Timestamp, Duration})


def kind_of_class(cls: type) -> str:
    """The name of the CEL type whose values have this Python class."""
    found = _KINDS.get(cls)
    return found if found is not None else str(getattr(cls, "kind", kinds.MAP))


def kind_of(value: Any) -> str:
    """The name of a value's CEL type."""
    return kind_of_class(value.__class__)


def no_overload(name: str, *values: Any) -> CelError:
    """The error of an operation that has no meaning for these values. Operators (`_+_`) are not named, as in cel-go."""
    if not name[0].isalpha():
        return CelError("no such overload")
    return CelError(f"no such overload: {name}({', '.join(map(kind_of, values))})")


def equal(left: Any, right: Any) -> bool:
    """CEL's `==`: numbers across types, everything else only within its type, never an error."""
    cls, other = left.__class__, right.__class__
    if cls is other:
        if cls is list:
            return len(left) == len(right) and all(map(equal, left, right))
        if cls is dict:
            return _same_entries(left, right)
        return bool(left == right)
    if cls in NUMBERS and other in NUMBERS:
        return bool(left == right) if float not in (cls, other) else float(left) == float(right)
    return cls in MAPS and other in MAPS and _same_entries(left, right)


def _same_entries(left: Any, right: Any) -> bool:
    if len(left) != len(right):
        return False
    for key, value in left.items():
        try:
            if not equal(value, right[key]):
                return False
        except KeyError:
            return False
    return True


def less(left: Any, right: Any, name: str = "_<_") -> bool:
    """CEL's `<`. Raises `CelError` for values without an order."""
    cls, other = left.__class__, right.__class__
    if cls is other and cls in _ORDERED:
        return bool(left < right)
    if cls in NUMBERS and other in NUMBERS:
        # compared as doubles, losing what an int has beyond 53 bits, as the specification's cases want it
        return bool(left < right) if float not in (cls, other) else float(left) < float(right)
    raise no_overload(name, left, right)


def in_int_range(value: int) -> int:
    """`value`; raises `CelError` outside 64 bits."""
    if INT_MIN <= value <= INT_MAX:
        return value
    raise CelError("integer overflow")


def in_uint_range(value: int) -> UInt:
    """`value` as a uint; raises `CelError` outside 64 bits."""
    if 0 <= value <= UINT_MAX:
        return UInt(value)
    raise CelError("unsigned integer overflow")
