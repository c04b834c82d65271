"""JSON Pointer (RFC 6901): places inside a document."""

from __future__ import annotations

from collections.abc import Iterable


class PointerError(Exception):
    """A JSON Pointer that does not fit the document; `pointer` is the whole text."""

    def __init__(self, pointer: str, reason: str) -> None:
        super().__init__(f"{pointer}: {reason}")
        self.pointer = pointer
        self.reason = reason


def parse_pointer(text: str) -> tuple[str, ...]:
    """The unescaped tokens of a pointer; the empty pointer is the whole document."""
    if text == "":
        return ()
    if not text.startswith("/"):
        raise PointerError(text, "a JSON pointer starts with /")
    if "~" not in text:
        return tuple(text[1:].split("/"))
    return tuple(token.replace("~1", "/").replace("~0", "~") for token in text[1:].split("/"))


def format_pointer(tokens: Iterable[str | int]) -> str:
    """The pointer text of tokens, escaped."""
    return "".join("/" + str(token).replace("~", "~0").replace("/", "~1") for token in tokens)
