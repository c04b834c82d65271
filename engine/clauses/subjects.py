"""Criteria on who asks: roles, clusterRoles and subjects of a match block (spec 2.1)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from engine.errors import InvalidPolicy
from engine.lang.wildcard import compile_any
from engine.request import User

UserTest = Callable[[User], bool]


def compile_user(
    *, roles: Iterable[str] = (), cluster_roles: Iterable[str] = (), subjects: Iterable[Mapping[str, Any]] = (), path: str
) -> UserTest | None:
    """A predicate on the user: every criterion that is given must hold, each by any of its entries. None: no criteria.

    Role names are compared exactly, subjects with wildcards. `path` is the block's place. Raises `InvalidPolicy` for a
    subject of an unknown kind.
    """
    tests: list[UserTest] = []
    if role_names := frozenset(roles):
        tests.append(lambda user: not role_names.isdisjoint(user.roles))
    if cluster_role_names := frozenset(cluster_roles):
        tests.append(lambda user: not cluster_role_names.isdisjoint(user.cluster_roles))
    if listed := list(subjects):
        tests.append(_compile_subjects(listed, path))
    if not tests:
        return None
    if len(tests) == 1:
        return tests[0]
    return lambda user: all(test(user) for test in tests)


def _compile_subjects(subjects: list[Mapping[str, Any]], path: str) -> UserTest:
    usernames, groups = [], []
    for index, subject in enumerate(subjects):
        name, namespace = str(subject.get("name") or ""), str(subject.get("namespace") or "")
        match subject.get("kind"):
            case "User":
                usernames.append(name)
            case "Group":
                groups.append(name)
            case "ServiceAccount":
                usernames.append(f"system:serviceaccount:{namespace}:{name}")
            case kind:
                raise InvalidPolicy(f"{path}.subjects[{index}].kind", f"kind must be User, Group or ServiceAccount, not `{kind}`")
    is_user, is_group = compile_any(usernames), compile_any(groups)
    return lambda user: is_user(user.username) or any(map(is_group, user.groups))
