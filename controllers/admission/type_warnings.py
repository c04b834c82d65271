"""CEL expressions of a new policy against the schemas of the kinds it matches: warnings for its author (spec 3.4).

The schemas are the API server's OpenAPI v3 documents. One of a group and version is some hundred kilobytes: it is fetched when a
policy with CEL comes, and let go with the answer.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from typing import Any

from controllers.cluster.client import ApiError, Client, Unreachable
from controllers.cluster.discovery import Discovery, Resource
from engine import Policy, type_faults

INDEX = "/openapi/v3"
TIMEOUT_S = 3
MOST_KINDS = 10
"""As the API server does for admission policies: a rule that matches more is checked against the first ones."""
logger = logging.getLogger("pyvern.policies")


async def type_warnings(policy: Policy, discovery: Discovery, client: Client) -> list[str]:
    """A line for each expression that can never succeed on a matched kind; nothing where the schemas cannot be had."""
    wanted = list(_wanted(policy, discovery))
    documents: dict[str, Any] = {}
    lines: list[str] = []
    try:
        index = await client.call("GET", INDEX, timeout=TIMEOUT_S) if wanted else {}
        for rule, path, resource in wanted:
            where = f"apis/{resource.group}/{resource.version}" if resource.group else f"api/{resource.version}"
            if where not in index["paths"]:
                continue
            if where not in documents:
                documents = {where: await _document(client, index["paths"][where])}
            known = {"group": resource.group, "version": resource.version, "kind": resource.kind}
            lines += type_faults(rule, documents[where], path=path, **known)
    except (ApiError, Unreachable) as error:
        logger.warning("policy %s: expressions are not checked against schemas: %s", policy.identity.key, error)
    return list(dict.fromkeys(lines))


async def _document(client: Client, entry: Mapping[str, str]) -> Any:
    path, _, query = entry["serverRelativeURL"].partition("?")
    parameters = dict(part.split("=", 1) for part in query.split("&") if "=" in part)
    return await client.call("GET", path, params=parameters, timeout=TIMEOUT_S)


def _wanted(policy: Policy, discovery: Discovery) -> Iterator[tuple[Mapping[str, Any], str, Resource]]:
    """(rule, its place, resource): the rules as written that have CEL, with the served kinds they match, by group and version."""
    for index, rule in enumerate(rule for rule in policy.rules if not rule.origin):
        if (rule.document.get("validate") or {}).get("cel"):
            selectors = [one for one in rule.match.kinds if one.kind != "*" and one.subresource == ""]
            found = dict.fromkeys(resource for one in selectors for resource in discovery.find(one) if not resource.subresource)
            for resource in sorted(list(found)[:MOST_KINDS], key=lambda one: (one.group, one.version)):
                yield rule.document, f"spec.rules[{index}]", resource
