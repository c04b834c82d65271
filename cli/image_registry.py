"""Images of real registries for `--registry`, through the client of the operators; log-ins from docker's own configuration."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cli.errors import InputError
from controllers.cluster.image_data import ImageData
from controllers.cluster.outbound import Outbound
from controllers.cluster.reach import Reach
from controllers.cluster.registry import Registry
from controllers.cluster.registry_logins import InvalidLogin, Known, read_config, refuse_providers
from engine import Lookup

MAX_CONFIGURATION = 2_000_000
TIMEOUT = 30.0


class RegistryImages:
    """Asks registries, one lookup after the other. Loopback is reached: this is the user's own machine."""

    def __init__(self, environment: Mapping[str, str] = os.environ) -> None:
        self._known = _logins(Path(environment.get("DOCKER_CONFIG") or Path.home() / ".docker", "config.json"))

    def __call__(self, lookup: Lookup) -> Any:
        """The data of an image. Raises `LookupFailed`."""
        return asyncio.run(self._ask(lookup))

    async def _ask(self, lookup: Lookup) -> Any:
        async with Outbound(Reach.of("")) as outbound:
            registry = Registry(outbound, max_blob=MAX_CONFIGURATION, timeout=TIMEOUT)
            return await ImageData(registry, self._logins, timeout=TIMEOUT).answer(lookup)

    async def _logins(self, lookup: Lookup) -> Known:
        """Secrets are not there without a cluster: what they would hold comes from docker's configuration."""
        refuse_providers(lookup, dict(lookup.options))
        return self._known


def _logins(file: Path) -> Known:
    try:
        return Known(tuple(read_config(file.read_bytes())))
    except FileNotFoundError:
        return Known()
    except (OSError, InvalidLogin) as error:
        raise InputError(str(file), str(error)) from error
