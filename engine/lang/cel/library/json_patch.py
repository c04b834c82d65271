"""`jsonpatch.escapeKey`: a map key as a part of a JSON pointer."""

from __future__ import annotations

from engine.lang.cel.functions import Library, Overload
from engine.lang.cel.kinds import STRING

LIBRARY = Library(
    "kubernetes.jsonpatch",
    functions={
        "jsonpatch.escapeKey": (
            Overload((STRING,), STRING, lambda key: key.replace("~", "~0").replace("/", "~1"), lambda key: len(key) // 10),
        ),
    },
    members={},
)
