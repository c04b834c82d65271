"""What the ConfigMap asks of webhook configurations, and what of it the API server takes."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from typing import Any

from controllers.cluster.client import ApiError
from controllers.cluster.settings import WebhookDefaults
from controllers.cluster.webhook_configurations import Configurations

Object = dict[str, Any]
REFUSED = (400, 422)
"""What the API server answers to a configuration that is malformed or invalid."""
logger = logging.getLogger("pyvern.webhooks")


class Wishes:
    """Writes configurations as they are asked for; where that is refused, what was accepted last counts, or the default.

    `carrying` names the configurations whose webhooks show whether selectors and conditions are accepted.
    """

    def __init__(self, configurations: Configurations, *, carrying: Iterable[str]) -> None:
        self._configurations = configurations
        self._carrying = frozenset(carrying)
        self._accepted: WebhookDefaults | None = None
        self._refused: WebhookDefaults | None = None

    async def apply(
        self, asked: WebhookDefaults, desired: Callable[[WebhookDefaults], Iterable[Object]], *, default: WebhookDefaults
    ) -> None:
        """Writes what differs. Raises Unreachable, and ApiError when not even `default` is accepted."""
        before = [self._accepted, default]
        for defaults in before if asked == self._refused else [asked, *before]:
            if defaults is None:
                continue
            configurations = tuple(desired(defaults))
            try:
                await self._configurations.apply_all(configurations)
            except ApiError as error:
                if error.status not in REFUSED:
                    raise
                refused = error
                continue
            if defaults != asked and asked != self._refused:
                logger.error("webhooks stay as they were, what the ConfigMap asks of them is refused: %s", refused.message)
            self._refused = None if defaults == asked else asked
            if any(one["webhooks"] for one in configurations if one["metadata"]["name"] in self._carrying):
                self._accepted = defaults  # without webhooks nobody has looked at their selectors
            return
        raise refused
