"""Log-ins of image registries: read from Secrets of type dockerconfigjson and dockercfg, matched to an image as kubelet does."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any

import orjson

from controllers.cluster.client import ApiError, Client, Unreachable
from engine import Lookup, LookupFailed

_NAME = re.compile(r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?")
DOCKER_HUB = "index.docker.io"
HUB_NAMES = frozenset({"docker.io", "index.docker.io", "registry-1.docker.io", "registry.hub.docker.com"})
PROVIDERS = frozenset({"default"})
"""Credential providers that are there: `default` is what this list holds. Those of clouds ask their metadata services."""


@dataclass(frozen=True, slots=True)
class Login:
    """Who we are at a registry: a name and its password, or a bearer token."""

    username: str = ""
    password: str = field(default="", repr=False)
    token: str = field(default="", repr=False)

    @property
    def basic(self) -> str:
        """The value of an Authorization header."""
        return "Basic " + base64.b64encode(f"{self.username}:{self.password}".encode()).decode()


@dataclass(frozen=True, slots=True)
class Known:
    """Log-ins by the place they are for (`ghcr.io/team`), and why some could not be had."""

    places: tuple[tuple[str, Login], ...] = ()
    problems: tuple[str, ...] = ()

    def at(self, host: str, repository: str) -> Login | None:
        """The log-in for a repository: the longest path that fits, the first of equals."""
        fitting = [(place, login) for place, login in self.places if _fits(place, host, repository)]
        return max(fitting, key=lambda pair: len(pair[0].partition("/")[2]))[1] if fitting else None


LoginSource = Callable[[Lookup], Awaitable[Known]]


class InvalidLogin(ValueError):
    """A docker configuration that cannot be used; the text says why, and nothing of what is secret."""


def read_config(text: str | bytes, *, legacy: bool = False) -> list[tuple[str, Login]]:
    """The log-ins of a docker configuration (`{"auths": {...}}`; `legacy`: without the outer object). Raises `InvalidLogin`."""
    try:
        document = orjson.loads(text)
    except orjson.JSONDecodeError:
        raise InvalidLogin("no JSON") from None
    entries = document if legacy else document.get("auths") if isinstance(document, dict) else None
    if entries is None:
        return []
    if not isinstance(entries, dict):
        raise InvalidLogin("auths is no object")
    return [(_place(name), _login(name, entry)) for name, entry in entries.items() if entry]


def _login(name: str, entry: Any) -> Login:
    if not isinstance(entry, dict):
        raise InvalidLogin(f"auths[{name}] is no object")
    if entry.get("identitytoken"):
        raise InvalidLogin(f"auths[{name}]: log-ins by identitytoken are not supported; use a name and a password")
    if entry.get("registrytoken"):
        return Login(token=str(entry["registrytoken"]))
    if entry.get("username"):
        return Login(str(entry["username"]), str(entry.get("password") or ""))
    try:
        username, colon, password = base64.b64decode(str(entry.get("auth") or ""), validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        colon = ""
    if not colon:
        raise InvalidLogin(f"auths[{name}]: neither username and password nor auth")
    return Login(username, password.rstrip("\x00"))


def _place(name: str) -> str:
    """`https://index.docker.io/v1/` is index.docker.io."""
    place = name.removeprefix("https://").removeprefix("http://").rstrip("/")
    host, slash, path = place.partition("/")
    if path in ("v1", "v2"):
        slash = path = ""
    return f"{DOCKER_HUB if host in HUB_NAMES else host.lower()}{slash}{path}"


def _fits(place: str, host: str, repository: str) -> bool:
    """Wildcards stand for one label of the host each: `*.example.com` is not a.b.example.com."""
    wanted, _, path = place.partition("/")
    labels, here = wanted.split("."), host.lower().split(".")
    if len(labels) != len(here) or not all(map(fnmatchcase, here, labels)):
        return False
    return not path or repository == path or repository.startswith(f"{path}/")


class Secrets:
    """Log-ins from Secrets of the cluster, read when they are asked for and kept nowhere.

    `own` is the installation's namespace, `names` are the Secrets there that serve every policy (--imagePullSecrets).
    """

    def __init__(self, client: Client, *, own: str, names: Iterable[str] = ()) -> None:
        self._client = client
        self._own = own
        self._names = tuple(names)

    async def known(self, lookup: Lookup) -> Known:
        """The log-ins for a lookup: Secrets that its entry names, those of the Pod, those that serve all. Raises `LookupFailed`.

        An entry's Secrets are in our namespace; those of a namespaced policy are in the policy's own (it reads nothing else).
        """
        options = dict(lookup.options)
        refuse_providers(lookup, options)
        places: list[tuple[str, Login]] = []
        problems: list[str] = []
        home = lookup.namespace or self._own
        for name in _names_in(options, "secrets"):
            places += await self._read(lookup, home, name)
        for name in _names_in(options, "pullSecrets"):
            namespace, _, plain = name.partition("/")
            if lookup.namespace and namespace != lookup.namespace:
                continue
            try:
                places += await self._read(lookup, namespace, plain)
            except LookupFailed as failed:  # kubelet goes on without them, too
                problems.append(failed.reason)
        for name in self._names:
            places += await self._read(lookup, self._own, name)
        return Known(tuple(places), tuple(problems))

    async def _read(self, lookup: Lookup, namespace: str, name: str) -> list[tuple[str, Login]]:
        # trap: an object's names come here before the API server has checked them; `../x` would be another path
        if not (_NAME.fullmatch(namespace) and _NAME.fullmatch(name)):
            raise LookupFailed(lookup, f"`{namespace}/{name}` is no name of a Secret")
        try:
            secret = await self._client.get(f"/api/v1/namespaces/{namespace}/secrets/{name}")
            return _of_secret(secret)
        except ApiError as error:
            reason = error.message or error.reason or str(error.status)
        except (Unreachable, InvalidLogin) as error:
            reason = str(error)
        raise LookupFailed(lookup, f"Secret {namespace}/{name}: {reason}")


def refuse_providers(lookup: Lookup, options: Mapping[str, str]) -> None:
    """Raises `LookupFailed` for credential providers that are not built."""
    for provider in _names_in(options, "providers"):
        if provider not in PROVIDERS:
            raise LookupFailed(
                lookup, f"imageRegistryCredentials.providers: `{provider}` is not supported; name Secrets with log-ins instead"
            )


def _names_in(options: Mapping[str, str], key: str) -> Sequence[str]:
    return [str(name) for name in orjson.loads(options[key])] if key in options else ()


def _of_secret(secret: Mapping[str, Any]) -> list[tuple[str, Login]]:
    data = secret.get("data") or {}
    for key, legacy in ((".dockerconfigjson", False), (".dockercfg", True)):
        if key in data:
            return read_config(base64.b64decode(data[key]), legacy=legacy)
    raise InvalidLogin("neither .dockerconfigjson nor .dockercfg is in it")
