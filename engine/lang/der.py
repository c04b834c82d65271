"""The least of ASN.1 DER that certificates need: splitting bytes into tagged elements, object identifiers."""

from __future__ import annotations

from dataclasses import dataclass


class InvalidDER(ValueError):
    """Bytes that are no DER."""


@dataclass(frozen=True, slots=True)
class Element:
    """One element: `raw` with tag and length, `body` without."""

    tag: int
    raw: bytes
    body: bytes

    def children(self) -> list[Element]:
        return split(self.body)


def split(data: bytes) -> list[Element]:
    """The elements that `data` is made of."""
    elements: list[Element] = []
    position = 0
    while position < len(data):
        start, tag = position, data[position]
        if position + 2 > len(data) or tag & 0x1F == 0x1F:
            raise InvalidDER("truncated or unsupported element")
        length = data[position + 1]
        position += 2
        if length & 0x80:
            count = length & 0x7F
            if not 1 <= count <= 4 or position + count > len(data):
                raise InvalidDER("bad length")
            length = int.from_bytes(data[position : position + count], "big")
            position += count
        if position + length > len(data):
            raise InvalidDER("truncated element")
        elements.append(Element(tag, data[start : position + length], data[position : position + length]))
        position += length
    return elements


def oid(body: bytes) -> list[int]:
    """The numbers of an object identifier."""
    numbers: list[int] = []
    value = 0
    for byte in body:
        value = value << 7 | byte & 0x7F
        if not byte & 0x80:
            numbers.append(value)
            value = 0
    if not numbers:
        raise InvalidDER("empty object identifier")
    first = min(numbers[0] // 40, 2)
    return [first, numbers[0] - 40 * first, *numbers[1:]]
