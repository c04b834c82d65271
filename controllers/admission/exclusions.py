"""Requests that no policy is asked about: what the ConfigMap excludes (spec 3.3)."""

from __future__ import annotations

from controllers.cluster.settings import Settings
from engine import Request, compile_exclusions, compile_filters


class Exclusions:
    """`resourceFilters` and the excluded users of one ConfigMap. `problems` names the entries that were left out."""

    def __init__(self, settings: Settings) -> None:
        self._objects = compile_filters(settings.resource_filters)
        self._users = compile_exclusions(
            groups=settings.exclude_groups,
            usernames=settings.exclude_usernames,
            roles=settings.exclude_roles,
            cluster_roles=settings.exclude_cluster_roles,
        )
        self.problems = (*self._objects.problems, *self._users.problems)

    def __call__(self, request: Request) -> bool:
        return self._users(request) or self._objects(request)
