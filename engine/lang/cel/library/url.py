"""Kubernetes' URLs: absolute URIs or absolute paths."""

from __future__ import annotations

import re
from typing import Any, ClassVar
from urllib.parse import SplitResult, parse_qsl, quote, urlsplit

from engine.lang.cel.errors import CelError
from engine.lang.cel.functions import Library, Overload
from engine.lang.cel.kinds import BOOL, MAP, STRING
from engine.lang.cel.values import Opaque

KIND = "kubernetes.URL"
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]*+:", re.ASCII)
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_BAD_PERCENT = re.compile(r"%(?![0-9A-Fa-f]{2})")
_HOST = re.compile(r"(?:\[[0-9A-Fa-f:.%\-_~a-z]+\]|[^\[\]\s<>\"\\^`{|}#?/]*?)(?::[0-9]*)?")
_PATH_SAFE = "/%:@!$&'()*+,;=~-._"


class URL(Opaque):
    """A parsed URL."""

    __slots__ = ("parts",)
    kind: ClassVar[str] = KIND

    def __init__(self, parts: SplitResult) -> None:
        self.parts = parts

    def __eq__(self, other: object) -> bool:
        return isinstance(other, URL) and self.parts == other.parts

    def __hash__(self) -> int:
        return hash(self.parts)

    @property
    def host(self) -> str:
        return self.parts.netloc.rpartition("@")[2]

    @property
    def split_host(self) -> tuple[str, str]:
        """Host name without brackets, and port."""
        if self.host.startswith("["):
            name, _, rest = self.host[1:].partition("]")
            return name, rest.removeprefix(":")
        name, _, port = self.host.partition(":")
        return name, port

    @property
    def query(self) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for name, value in parse_qsl(self.parts.query, keep_blank_values=True):
            found.setdefault(name, []).append(value)
        return found


def parse_url(text: str) -> URL:
    """A URL as `url()` takes it. Raises `CelError`."""
    failure = CelError(f'URL parse error during conversion from string: parse "{text}": invalid URI for request')
    absolute_path = text.startswith("/")
    if not absolute_path and _SCHEME.match(text) is None:
        raise failure
    if _CONTROL.search(text):
        raise failure
    try:
        parts = urlsplit(text, allow_fragments=False)
    except ValueError:
        raise failure from None
    if absolute_path and not text.startswith("//"):
        parts = parts._replace(scheme="")
    if not absolute_path and not text[len(parts.scheme) + 1 :]:
        raise failure
    host = parts.netloc.rpartition("@")[2]
    if _HOST.fullmatch(host) is None or _BAD_PERCENT.search(parts.path):
        raise failure
    return URL(parts)


def _is_url(text: str) -> bool:
    try:
        parse_url(text)
    except CelError:
        return False
    return True


LIBRARY = Library(
    "kubernetes.urls",
    functions={
        "url": (Overload((STRING,), KIND, parse_url),),
        "isURL": (Overload((STRING,), BOOL, _is_url),),
    },
    members={
        "getScheme": (Overload((KIND,), STRING, lambda url: url.parts.scheme),),
        "getHost": (Overload((KIND,), STRING, lambda url: url.host),),
        "getHostname": (Overload((KIND,), STRING, lambda url: url.split_host[0]),),
        "getPort": (Overload((KIND,), STRING, lambda url: url.split_host[1]),),
        "getEscapedPath": (Overload((KIND,), STRING, lambda url: quote(url.parts.path, safe=_PATH_SAFE)),),
        "getQuery": (Overload((KIND,), MAP, lambda url: url.query),),
    },
    types=(KIND,),
)
