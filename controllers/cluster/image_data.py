"""Context from image registries: `imageRegistry` entries (spec 2.10) and what they hold."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from typing import Any

from controllers.cluster.registry import INDEXES, Registry, RegistryError, Repository, Stored
from controllers.cluster.registry_logins import DOCKER_HUB, HUB_NAMES, LoginSource
from engine import LanguageError, Lookup, LookupFailed, parse_image

DEFAULT_REGISTRY = "docker.io"
PLATFORM = ("linux", "amd64")
"""Whose manifest stands for an image of many platforms, as in Kyverno."""
_DIGEST = re.compile(r"[a-z0-9]+:[0-9a-f]{32,128}")


class ImageData:
    """Answers lookups of the source `imageData`; `default` is the registry of references that name none."""

    def __init__(
        self,
        registry: Registry,
        logins: LoginSource,
        *,
        timeout: float,
        insecure: bool = False,
        default: Callable[[], str] = lambda: DEFAULT_REGISTRY,
    ) -> None:
        self._default = default
        self._timeout = timeout
        self._registry = registry
        self._logins = logins
        self._insecure = insecure

    async def answer(self, lookup: Lookup) -> Any:
        """As `_described`, within the time there is. Raises `LookupFailed`."""
        try:
            async with asyncio.timeout(self._timeout):
                return await self._described(lookup)
        except TimeoutError:
            raise LookupFailed(lookup, f"image {lookup.key}: no answer within {self._timeout:.3g} s") from None

    async def _described(self, lookup: Lookup) -> Any:
        """The document of an image: image, resolvedImage, registry, repository, identifier, digest, manifest, manifestList,
        configData. Raises `LookupFailed`, with the image and the URL that had no answer."""
        try:
            image = parse_image(lookup.key, registry=self._default())
        except LanguageError as error:
            raise LookupFailed(lookup, str(error)) from error
        hub = image.registry in HUB_NAMES
        host = DOCKER_HUB if hub else image.registry
        name = f"library/{image.path}" if hub and "/" not in image.path else image.path
        known = await self._logins(lookup)
        insecure = self._insecure or ("allowInsecureRegistry", "true") in lookup.options
        repository = Repository(host, name, known.at(host, name), insecure)
        identifier = image.digest or image.tag
        try:
            top = await self._registry.manifest(repository, identifier)
            manifest = await self._of_platform(repository, top) if top.media_type in INDEXES else top
            config = await self._registry.blob(repository, _digest_of(manifest.content.get("config")))
        except RegistryError as error:
            raise LookupFailed(lookup, "; ".join((f"image {lookup.key}: {error}", *known.problems))) from error
        return {
            "image": lookup.key,
            "resolvedImage": f"{host}/{name}@{top.digest}",
            "registry": host,
            "repository": name,
            "identifier": identifier,
            "digest": top.digest,
            "manifest": manifest.content,
            "manifestList": top.content if top is not manifest else None,
            "configData": config.content,
        }

    async def _of_platform(self, repository: Repository, index: Stored) -> Stored:
        entries = index.content.get("manifests")
        for entry in entries if isinstance(entries, list) else ():
            platform = entry.get("platform") if isinstance(entry, dict) else None
            if isinstance(platform, dict) and (platform.get("os"), platform.get("architecture")) == PLATFORM:
                found = await self._registry.manifest(repository, _digest_of(entry))
                if found.media_type in INDEXES:
                    raise RegistryError(f"{repository.host}/{repository.name}@{index.digest}: an index within an index")
                return found
        raise RegistryError(f"{repository.host}/{repository.name}@{index.digest}: no manifest for {'/'.join(PLATFORM)}")


def _digest_of(descriptor: Any) -> str:
    """The digest of a descriptor. It becomes part of a path as it is, and registries may say anything."""
    digest = descriptor.get("digest") if isinstance(descriptor, dict) else None
    if not isinstance(digest, str) or _DIGEST.fullmatch(digest) is None:
        raise RegistryError("a manifest without a digest where one must be")
    return digest
