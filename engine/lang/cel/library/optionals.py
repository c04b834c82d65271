"""Optional values: `optional.of`, `hasValue` and their like; `or` and `orValue` are macros, selection with `?` is in `access`."""

from __future__ import annotations

from typing import Any

from engine.lang.cel.errors import CelError
from engine.lang.cel.functions import Library, Overload
from engine.lang.cel.kinds import BOOL, DYN, LIST, OPTIONAL
from engine.lang.cel.values import MAPS, NONE, Duration, Optional, Timestamp

_ZEROES = frozenset({bool, int, float, str, bytes, list, Duration})


def _of_non_zero(value: Any) -> Optional:
    cls = value.__class__
    if value is None or (cls in MAPS and not len(value)) or value is NONE:
        return NONE
    if cls is Timestamp:
        return Optional(value)
    empty = (cls in _ZEROES or isinstance(value, int)) and not value
    return NONE if empty else Optional(value)


def _value(optional: Optional) -> Any:
    if optional is NONE:
        raise CelError("optional.none() dereference")
    return optional.value


LIBRARY = Library(
    "optionals",
    functions={
        "optional.of": (Overload((DYN,), OPTIONAL, Optional),),
        "optional.ofNonZeroValue": (Overload((DYN,), OPTIONAL, _of_non_zero),),
        "optional.none": (Overload((), OPTIONAL, lambda: NONE),),
        "optional.unwrap": (Overload((LIST,), LIST, lambda items: [item.value for item in items if item is not NONE]),),
    },
    members={
        "hasValue": (Overload((OPTIONAL,), BOOL, lambda optional: optional is not NONE),),
        "value": (Overload((OPTIONAL,), DYN, _value),),
    },
)
