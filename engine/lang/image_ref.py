"""Container image references: `registry/path:tag@digest`, with the defaults that Kyverno fills in (spec 2.10)."""

from __future__ import annotations

import re
from dataclasses import dataclass

from engine.lang.errors import LanguageError

DEFAULT_REGISTRY = "docker.io"
DEFAULT_TAG = "latest"

_DOMAIN_LABEL = r"(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9])"
_DOMAIN = rf"(?:{_DOMAIN_LABEL}(?:\.{_DOMAIN_LABEL})*|\[[0-9a-fA-F:]+\])(?::[0-9]+)?"
_PART = r"[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*"
_REFERENCE = re.compile(
    rf"(?P<registry>{_DOMAIN})/(?P<path>{_PART}(?:/{_PART})*)"
    r"(?::(?P<tag>\w[\w.-]{0,127}))?"
    r"(?:@(?P<digest>[A-Za-z][A-Za-z0-9]*(?:[-_+.][A-Za-z][A-Za-z0-9]*)*:[0-9a-fA-F]{32,}))?",
    re.ASCII,
)


class InvalidImage(LanguageError):
    """A text that is no image reference."""

    def __init__(self, image: str) -> None:
        settings = f"defaultRegistry: {DEFAULT_REGISTRY}, enableDefaultRegistryMutation: true"
        super().__init__(f"bad image: {image}, {settings}: invalid reference format")
        self.image = image


@dataclass(frozen=True, slots=True)
class ImageRef:
    """A parsed reference. `tag` is `latest` where neither tag nor digest was written; `name` is the path's last step."""

    registry: str
    path: str
    tag: str
    digest: str

    @property
    def name(self) -> str:
        return self.path.rpartition("/")[2]

    @property
    def reference(self) -> str:
        """The whole reference; the digest replaces the tag."""
        suffix = f"@{self.digest}" if self.digest else f":{self.tag}"
        return f"{self.registry}/{self.path}{suffix}"

    @property
    def reference_with_tag(self) -> str:
        """The reference without its digest; the tag is empty where only a digest was written."""
        return f"{self.registry}/{self.path}:{self.tag}"


def parse_image(text: str, *, registry: str = DEFAULT_REGISTRY) -> ImageRef:
    """Parses an image reference; a missing registry is `registry`. docker.io's `library/` is not added.

    Raises `InvalidImage`.
    """
    first, slash, _ = text.partition("/")
    has_registry = slash and (any(char in first for char in ".:") or first == "localhost" or first != first.lower())
    full = text if has_registry else f"{registry}/{text}"
    match = _REFERENCE.fullmatch(full)
    if match is None:
        raise InvalidImage(full)
    digest = match["digest"] or ""
    tag = match["tag"] or ("" if digest else DEFAULT_TAG)
    return ImageRef(match["registry"], match["path"], tag, digest)
