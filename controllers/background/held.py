"""Documents that wait, as long as there is room; of the others only the names."""

from __future__ import annotations

from collections.abc import Iterator

import orjson

from engine import Object


class Held:
    """Name -> document. `room`: bytes of JSON that are kept; what does not fit is read again when it is needed.

    An object of Python's takes some four times the room of its JSON.
    """

    def __init__(self, room: int) -> None:
        self._room = room
        self._taken = 0
        self._documents: dict[str, tuple[Object, int] | None] = {}

    def put(self, name: str, document: Object | None) -> None:
        """Keeps a document if there is room for it, in any case its name. None: what is known is out of date."""
        self.drop(name)
        size = 0 if document is None else len(orjson.dumps(document))
        if document is None or self._taken + size > self._room:
            self._documents[name] = None
        else:
            self._documents[name] = document, size
            self._taken += size

    def get(self, name: str) -> Object | None:
        """The document, None where it is not kept."""
        held = self._documents.get(name)
        return None if held is None else held[0]

    def drop(self, name: str) -> None:
        held = self._documents.pop(name, None)
        if held is not None:
            self._taken -= held[1]

    def clear(self) -> None:
        self._documents.clear()
        self._taken = 0

    def __contains__(self, name: str) -> bool:
        return name in self._documents

    def __iter__(self) -> Iterator[str]:
        return iter(self._documents)
