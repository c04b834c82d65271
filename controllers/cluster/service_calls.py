"""Context from services: `apiCall.service` (spec 2.10), and whoever else calls a URL that a policy names."""

from __future__ import annotations

from typing import Any

import orjson
from yarl import URL

from controllers.cluster.outbound import CallFailed, Outbound, shown, trust
from engine import Lookup, LookupFailed


class ServiceCalls:
    """Answers lookups of the source `service`: JSON by GET or POST. Errors name the URL, without what may be secret in it."""

    def __init__(self, outbound: Outbound, *, max_response: int, timeout: float) -> None:
        self._outbound = outbound
        self._max_response = max_response
        self._timeout = timeout

    async def answer(self, lookup: Lookup) -> Any:
        """The JSON value that the service answers with. Raises `LookupFailed`."""
        try:
            url = URL(lookup.key)
        except ValueError as error:
            raise LookupFailed(lookup, f"`{lookup.key}` is no URL: {error}") from error
        called = f"{lookup.method} {shown(url)}"
        options = dict(lookup.options)
        headers = [(name.removeprefix("header:"), value) for name, value in lookup.options if name.startswith("header:")]
        if not any(name.lower() == "accept" for name, _ in headers):
            headers.append(("Accept", "application/json"))
        if lookup.method == "POST" and not any(name.lower() == "content-type" for name, _ in headers):
            headers.append(("Content-Type", "application/json"))
        try:
            answer = await self._outbound.call(
                lookup.method,
                url,
                headers=headers,
                body=lookup.body.encode() if lookup.method == "POST" else None,
                tls=trust(options["caBundle"]) if "caBundle" in options else None,
                limit=self._max_response,
                timeout=self._timeout,
            )
            return orjson.loads(answer.body)
        except CallFailed as failed:
            raise LookupFailed(lookup, f"{called}: {failed}") from failed
        except orjson.JSONDecodeError as error:
            raise LookupFailed(lookup, f"{called}: the answer is no JSON: {error}") from error
