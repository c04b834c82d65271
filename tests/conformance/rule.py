"""One rule on one object, through the policy compiler: what a case of oracle/patterns.json or conditions.json asks."""

from __future__ import annotations

from typing import Any

from engine.compiler import compile_policy
from engine.errors import InvalidPolicy
from tests.policies import cluster_policy, request_for, rows


def answer(rule: dict[str, Any], resource: dict[str, Any]) -> tuple[str, str]:
    """(status, text) of a rule that matches `resource` by kind and name; (`invalid`, reason) where it does not compile."""
    selected = {"kinds": [resource["kind"]], "names": [resource["metadata"]["name"]]}
    try:
        policy = compile_policy(cluster_policy({**rule, "match": {"any": [{"resources": selected}]}}))
    except InvalidPolicy as error:
        return "invalid", str(error)
    ((_, status, text),) = rows(policy, request_for(resource))
    return status, text
