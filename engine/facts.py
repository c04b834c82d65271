"""Data outside the object: what was asked (`Lookup`) and what is known (`Facts`)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from engine.errors import LookupFailed, Unknown
from engine.held import Held
from engine.lang import go_json

Source = Literal["configMap", "apiCall", "service", "globalReference", "imageData", "resource"]


@dataclass(frozen=True, slots=True)
class Lookup:
    """One question to the world, hashable so that it is asked once.

    `key` identifies the thing: `namespace/name` of a ConfigMap, the urlPath of an API call, a URL, an entry's name, an image
    reference. `method` and `body` (JSON text) belong to calls; `options` holds what else changes the answer (headers, CA
    bundle, registry credentials) as sorted pairs. `namespace` is the policy's namespace, empty for cluster policies: the
    shell must not read outside it.
    """

    source: Source
    key: str
    method: str = "GET"
    body: str = ""
    options: tuple[tuple[str, str], ...] = ()
    namespace: str = ""

    def __str__(self) -> str:
        return f"{self.source} {self.key}"


def resource(api_version: str, kind: str, *, namespace: str, name: str, policy_namespace: str = "") -> Lookup:
    """Asks for one stored object; the answer is its document, or None where there is none.

    `key` is `namespace/name` (`/name` for a cluster-scoped object), `options` hold apiVersion and kind.
    """
    return Lookup("resource", f"{namespace}/{name}", options=_of_kind(api_version, kind), namespace=policy_namespace)


def resources(
    api_version: str, kind: str, *, namespace: str = "", selector: Mapping[str, Any] | None = None, policy_namespace: str = ""
) -> Lookup:
    """Asks for all stored objects of a kind in a namespace (empty: in all); the answer is a list of documents.

    `key` is the namespace, `method` is `LIST`, `options` hold apiVersion, kind and, as JSON, the label selector. The answer may
    hold more than the selector wants: who asks, selects again.
    """
    options = _of_kind(api_version, kind)
    if selector:
        options += (("labelSelector", go_json.dumps(selector)),)
    return Lookup("resource", namespace, "LIST", options=options, namespace=policy_namespace)


def _of_kind(api_version: str, kind: str) -> tuple[tuple[str, str], ...]:
    return (("apiVersion", api_version), ("kind", kind))


@dataclass(frozen=True, slots=True)
class Facts:
    """Answers to lookups. A failed lookup is an answer too: a `LookupFailed` stored as the value is raised when read.

    `absent` are sources that this world does not have: a rule that reads context of these sources fails or errs but never passes,
    unless `Request.variables` gives their names (the CLI without a cluster, cli-format.md 3). `max_size` is how many characters
    of JSON a context entry may hold (maxContextSize, spec 2.10): entries that double the one before are few lines. `ready` gives
    what is kept in memory, None for what has to be asked for.
    """

    answers: Mapping[Lookup, Any] = field(default_factory=dict)
    absent: frozenset[Source] = frozenset()
    max_size: int = 2 * 1024 * 1024
    ready: Callable[[Lookup], Held | None] | None = None

    def answer(self, lookup: Lookup) -> Any:
        """The JSON value known for `lookup`; raises `Unknown` when nobody asked yet and `LookupFailed` when asking failed."""
        value = self.held(lookup)
        return value.value if value.__class__ is Held else value

    def held(self, lookup: Lookup) -> Any:
        """As `answer`, but what is kept between questions comes as `Held`."""
        value = self.answers.get(lookup, _NOTHING)
        if value is _NOTHING and self.ready is not None:
            value = self.ready(lookup) or _NOTHING
        if value is _NOTHING:
            raise Unknown([lookup])
        if isinstance(value, LookupFailed):
            raise value
        return value

    def plus(self, answers: Mapping[Lookup, Any]) -> Facts:
        """These facts and more."""
        return replace(self, answers={**self.answers, **answers})


_NOTHING = object()
NO_FACTS = Facts()
