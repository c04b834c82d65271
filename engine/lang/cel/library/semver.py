"""Kubernetes' semantic versions."""

from __future__ import annotations

import re
from typing import ClassVar

from engine.lang.cel.errors import CelError
from engine.lang.cel.functions import Library, Overload
from engine.lang.cel.kinds import BOOL, INT, STRING
from engine.lang.cel.values import Opaque
from engine.lang.semver import Version, parse_version

KIND = "kubernetes.Semver"
_LOOSE = re.compile(r"v?([0-9]+(?:\.[0-9]+){0,2})(.*)", re.DOTALL | re.ASCII)


class Semver(Opaque):
    """A version; equality ignores its build part."""

    __slots__ = ("version",)
    kind: ClassVar[str] = KIND

    def __init__(self, version: Version) -> None:
        self.version = version

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Semver) and self.version == other.version

    def __hash__(self) -> int:
        return hash(self.version)


def _normal(text: str) -> str:
    """Without a leading `v` and leading zeros, with minor and patch."""
    found = _LOOSE.fullmatch(text)
    if found is None:
        return text
    numbers = [part.lstrip("0") or "0" for part in found[1].split(".")]
    return ".".join((*numbers, "0", "0")[: max(3, len(numbers))]) + found[2]


def _version(text: str, normalize: bool = False) -> Version | None:
    return parse_version(_normal(text) if normalize else text)


def _parsed(text: str, normalize: bool = False) -> Semver:
    found = _version(text, normalize)
    if found is None:
        raise CelError(f"invalid semantic version `{text}`")
    return Semver(found)


def _is_semver(text: str, normalize: bool = False) -> bool:
    return _version(text, normalize) is not None


def _compare(left: Semver, right: Semver) -> int:
    return (left.version > right.version) - (left.version < right.version)


LIBRARY = Library(
    "kubernetes.semver",
    functions={
        "semver": (Overload((STRING,), KIND, _parsed), Overload((STRING, BOOL), KIND, _parsed)),
        "isSemver": (Overload((STRING,), BOOL, _is_semver), Overload((STRING, BOOL), BOOL, _is_semver)),
        "string": (Overload((KIND,), STRING, lambda value: str(value.version)),),
    },
    members={
        "major": (Overload((KIND,), INT, lambda value: value.version.major),),
        "minor": (Overload((KIND,), INT, lambda value: value.version.minor),),
        "patch": (Overload((KIND,), INT, lambda value: value.version.patch),),
        "isLessThan": (Overload((KIND, KIND), BOOL, lambda left, right: left.version < right.version),),
        "isGreaterThan": (Overload((KIND, KIND), BOOL, lambda left, right: left.version > right.version),),
        "compareTo": (Overload((KIND, KIND), INT, _compare),),
    },
    types=(KIND,),
)
