"""Kubernetes' named formats: `format.dns1123Label().validate(text)`, `format.named("uuid")`."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable
from typing import ClassVar

from engine.lang.cel.calendar import parse_timestamp
from engine.lang.cel.errors import CelError
from engine.lang.cel.functions import Library, Overload
from engine.lang.cel.kinds import OPTIONAL, STRING
from engine.lang.cel.library.url import parse_url
from engine.lang.cel.values import NONE, Opaque, Optional
from engine.lang.label import key_problems, value_problems

KIND = "kubernetes.NamedFormat"
Check = Callable[[str], list[str]]

_LABEL = r"[a-z0-9](?:[-a-z0-9]*[a-z0-9])?"
_UUID = r"(?i:[0-9a-f]{8}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{12})"


def _shape(pattern: str, longest: int, said: str, *, prefix: bool = False) -> Check:
    """`prefix`: the text is what a generated name starts with, a trailing dash stands for what follows."""
    matches = re.compile(pattern, re.ASCII).fullmatch

    def check(text: str) -> list[str]:
        problems = []
        if len(text) > longest:
            problems.append(f"must be no more than {longest} characters")
        if matches(text[:-1] + "a" if prefix and text.endswith("-") else text) is None:
            problems.append(said)
        return problems

    return check


def _parses(parse: Callable[[str], object], said: str) -> Check:
    def check(text: str) -> list[str]:
        try:
            parse(text)
        except (CelError, binascii.Error, ValueError):
            return [said]
        return []

    return check


def _date(text: str) -> None:
    if re.fullmatch(r"\d{4}-\d\d-\d\d", text, re.ASCII) is None:
        raise CelError("no date")
    parse_timestamp(f"{text}T00:00:00Z")


_LABEL_SAID = (
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', "
    "and must start and end with an alphanumeric character"
)
_SUBDOMAIN_SAID = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', "
    "and must start and end with an alphanumeric character"
)
_RFC_1035_SAID = (
    "a DNS-1035 label must consist of lower case alphanumeric characters or '-', "
    "start with an alphabetic character, and end with an alphanumeric character"
)
_SUBDOMAIN_CHECK = _shape(rf"{_LABEL}(?:\.{_LABEL})*", 253, _SUBDOMAIN_SAID)
_RFC_1035 = r"[a-z](?:[-a-z0-9]*[a-z0-9])?"

CHECKS: dict[str, Check] = {
    "dns1123Label": _shape(_LABEL, 63, _LABEL_SAID),
    "dns1123Subdomain": _SUBDOMAIN_CHECK,
    "dns1035Label": _shape(_RFC_1035, 63, _RFC_1035_SAID),
    "dns1123LabelPrefix": _shape(_LABEL, 63, _LABEL_SAID, prefix=True),
    "dns1123SubdomainPrefix": _shape(rf"{_LABEL}(?:\.{_LABEL})*", 253, _SUBDOMAIN_SAID, prefix=True),
    "dns1035LabelPrefix": _shape(_RFC_1035, 63, _RFC_1035_SAID, prefix=True),
    "qualifiedName": key_problems,
    "labelValue": value_problems,
    "uri": _parses(parse_url, "does not conform to the URI format"),
    "uuid": _shape(_UUID, 36, "does not match the UUID format"),
    "byte": _parses(lambda text: base64.b64decode(text, validate=True), "invalid base64"),
    "date": _parses(_date, "invalid date"),
    "datetime": _parses(parse_timestamp, "invalid datetime"),
}


class Format(Opaque):
    """A named format."""

    __slots__ = ("check", "name")
    kind: ClassVar[str] = KIND

    def __init__(self, name: str) -> None:
        self.name = name
        self.check = CHECKS[name]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Format) and self.name == other.name

    def __hash__(self) -> int:
        return hash(self.name)


def _validate(found: Format, text: str) -> Optional:
    problems = found.check(text)
    return Optional(problems) if problems else NONE


def _constant(name: str) -> Callable[[], Format]:
    return lambda: Format(name)


LIBRARY = Library(
    "kubernetes.format",
    functions={
        "format.named": (Overload((STRING,), OPTIONAL, lambda name: Optional(Format(name)) if name in CHECKS else NONE),),
        **{f"format.{name}": (Overload((), KIND, _constant(name)),) for name in CHECKS},
    },
    members={"validate": (Overload((KIND, STRING), OPTIONAL, _validate, lambda _, text: len(text) // 10),)},
    types=(KIND,),
)
