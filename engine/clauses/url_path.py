"""Paths of the API server that context entries may call (spec 2.10)."""

from __future__ import annotations

import re

_NAMESPACED = re.compile(r"/(?:api/[^/]+|apis/[^/]+/[^/]+)/namespaces/([^/]+)(?:/.*)?")


def url_path_problem(url_path: str, policy_namespace: str) -> str:
    """Why the API path must not be called; empty if it may.

    Steps such as `..` or their percent-encodings could leave the place the author named (a variable may hold anything); a
    namespaced policy reads only below its own namespace.
    """
    path = url_path.partition("?")[0]
    if not path.startswith("/"):
        return f"urlPath `{url_path}` must start with a slash"
    if "%" in path or "\\" in path or any(step in (".", "..", "") for step in path[1:].rstrip("/").split("/") if path != "/"):
        return f"urlPath `{url_path}` must be a plain path"
    if policy_namespace:
        match = _NAMESPACED.fullmatch(path)
        if match is None or match[1] != policy_namespace:
            return f"a namespaced policy may only call paths within its own namespace `{policy_namespace}`, not `{url_path}`"
    return ""
