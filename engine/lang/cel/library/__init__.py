"""The function libraries: CEL's own, its extensions, and Kubernetes'."""

from __future__ import annotations

from engine.lang.cel.functions import Library
from engine.lang.cel.library import (
    authorizer,
    encoders,
    formats,
    json_patch,
    lists,
    mathematics,
    network,
    optionals,
    quantity,
    regex,
    semver,
    sets,
    standard,
    strings,
    times,
    url,
)

ALL: tuple[Library, ...] = (
    standard.LIBRARY,
    times.LIBRARY,
    optionals.LIBRARY,
    strings.LIBRARY,
    lists.LIBRARY,
    sets.LIBRARY,
    mathematics.LIBRARY,
    encoders.LIBRARY,
    regex.LIBRARY,
    url.LIBRARY,
    quantity.LIBRARY,
    semver.LIBRARY,
    network.LIBRARY,
    formats.LIBRARY,
    json_patch.LIBRARY,
    authorizer.LIBRARY,
)

__all__ = ["ALL"]
