"""The strings extension. Positions count code points."""

from __future__ import annotations

from typing import Any

from engine.lang.cel.errors import CelError
from engine.lang.cel.functions import Library, Overload
from engine.lang.cel.kinds import INT, LIST, STRING
from engine.lang.cel.library.string_format import formatted
from engine.lang.cel.values import no_overload

_LOWER = str.maketrans({chr(code): chr(code + 32) for code in range(ord("A"), ord("Z") + 1)})
_UPPER = str.maketrans({chr(code): chr(code - 32) for code in range(ord("a"), ord("z") + 1)})
_SPACES = (
    "\t\n\v\f\r \x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u2028\u2029\u202f\u205f\u3000"
)
_QUOTED = {"\a": "\\a", "\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t", "\v": "\\v", "\\": "\\\\", '"': '\\"'}


def _char_at(text: str, place: int) -> str:
    if not 0 <= place <= len(text):
        raise CelError(f"index out of range: {place}")
    return text[place : place + 1]


def _index_of(text: str, part: str, start: int = 0) -> int:
    if not part:
        return start
    if not 0 <= start <= len(text):
        raise CelError(f"index out of range: {start}")
    return text.find(part, start)


def _last_index_of(text: str, part: str, start: int | None = None) -> int:
    if start is None:
        return text.rfind(part)
    if not part:
        return start
    if not 0 <= start <= len(text):
        raise CelError(f"index out of range: {start}")
    return text.rfind(part, 0, start + len(part))


def _replace(text: str, old: str, new: str, count: int = -1) -> str:
    return text.replace(old, new, max(count, -1))


def _split(text: str, separator: str, limit: int = -1) -> list[str]:
    if limit == 0:
        return []
    if not separator:
        characters = list(text)
        return characters if not 0 < limit < len(text) else [*characters[: limit - 1], text[limit - 1 :]]
    return text.split(separator, limit - 1 if limit > 0 else -1)


def _substring(text: str, start: int, end: int | None = None) -> str:
    last = len(text) if end is None else end
    for place in (start, last):
        if not 0 <= place <= len(text):
            raise CelError(f"index out of range: {place}")
    if start > last:
        raise CelError(f"invalid substring range. start: {start}, end: {last}")
    return text[start:last]


def _join(items: list[Any], separator: str = "") -> str:
    for item in items:
        if item.__class__ is not str:
            raise no_overload("join", item)
    return separator.join(items)


def _quote(text: str) -> str:
    return f'"{"".join(_QUOTED.get(char, char) for char in text)}"'


def _read(text: str, *_: Any) -> int:
    return len(text) // 10


def _replaced(text: str, old: str, new: str, *_: Any) -> int:
    found = text.count(old) if old else len(text) + 1
    return (len(text) + found * len(new)) // 10


def _joined(items: list[Any], separator: str = "") -> int:
    return sum(len(item) + len(separator) for item in items if item.__class__ is str) // 10


LIBRARY = Library(
    "strings",
    functions={"strings.quote": (Overload((STRING,), STRING, _quote, _read),)},
    members={
        "charAt": (Overload((STRING, INT), STRING, _char_at),),
        "indexOf": (Overload((STRING, STRING), INT, _index_of, _read), Overload((STRING, STRING, INT), INT, _index_of, _read)),
        "lastIndexOf": (
            Overload((STRING, STRING), INT, _last_index_of, _read),
            Overload((STRING, STRING, INT), INT, _last_index_of, _read),
        ),
        "lowerAscii": (Overload((STRING,), STRING, lambda text: text.translate(_LOWER), _read),),
        "upperAscii": (Overload((STRING,), STRING, lambda text: text.translate(_UPPER), _read),),
        "replace": (
            Overload((STRING, STRING, STRING), STRING, _replace, _replaced),
            Overload((STRING, STRING, STRING, INT), STRING, _replace, _replaced),
        ),
        "split": (
            Overload((STRING, STRING), LIST, _split, _read),
            Overload((STRING, STRING, INT), LIST, _split, _read),
        ),
        "substring": (
            Overload((STRING, INT), STRING, _substring, _read),
            Overload((STRING, INT, INT), STRING, _substring, _read),
        ),
        "trim": (Overload((STRING,), STRING, lambda text: text.strip(_SPACES), _read),),
        "reverse": (Overload((STRING,), STRING, lambda text: text[::-1], _read),),
        "join": (Overload((LIST,), STRING, _join, _joined), Overload((LIST, STRING), STRING, _join, _joined)),
        "format": (Overload((STRING, LIST), STRING, formatted, lambda text, items: len(text) // 10 + len(items)),),
    },
)
