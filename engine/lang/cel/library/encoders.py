"""`base64.encode` and `base64.decode`."""

from __future__ import annotations

import base64
import binascii

from engine.lang.cel.errors import CelError
from engine.lang.cel.functions import Library, Overload
from engine.lang.cel.kinds import BYTES, STRING


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4) if "=" not in text else text, validate=True)
    except (binascii.Error, ValueError):
        raise CelError("illegal base64 data") from None


LIBRARY = Library(
    "encoders",
    functions={
        "base64.encode": (
            Overload((BYTES,), STRING, lambda data: base64.b64encode(data).decode(), lambda data: len(data) // 10),
        ),
        "base64.decode": (Overload((STRING,), BYTES, _decoded, lambda text: len(text) // 10),),
    },
    members={},
)
