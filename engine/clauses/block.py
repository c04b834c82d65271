"""One filter block of match or exclude, compiled: criteria on the request, the object, its namespace and the user (spec 2.1).

Between criteria AND, inside a list OR. The criteria that cost least are asked first.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from engine.clauses.kinds import KindTest, compile_kinds, parse_kind
from engine.clauses.match_shape import RESOURCE_FIELDS
from engine.clauses.subjects import UserTest, compile_user
from engine.errors import InvalidPolicy
from engine.lang.selector import InvalidSelector, Selector, compile_selector
from engine.lang.wildcard import compile_any, compile_wildcard
from engine.policy import KindSelector
from engine.request import GroupVersionKind, Object, Request, User

NAMESPACE = "Namespace"
EVERY_KIND = parse_kind("*/*")
NOBODY = User()

ObjectTest = Callable[[Request, Object], bool]
"""One criterion, asked of the new and of the old object of a request."""
Spot = Callable[[GroupVersionKind, str, str], bool]
"""The same for kind, subresource and operation alone: what an index can know."""


@dataclass(frozen=True, slots=True, eq=False)
class Block:
    """One filter block. `test` is the whole, `spot` its part on kinds and operations; `static`: there is no other part."""

    kinds: tuple[KindSelector, ...]
    operations: frozenset[str]
    test: ObjectTest
    spot: Spot
    static: bool
    user: bool
    roles: bool
    namespace_labels: bool


def compile_block(document: Mapping[str, Any], path: str, *, excluding: bool = False) -> Block:
    """The block that stands at `path` and has the right shape (match_shape).

    An empty one holds for nothing, but one that spells out an empty field of `resources` (`kinds: []`) for everything, as
    recorded (oracle/match.json). Where nobody asked (`request.user` is None), criteria on users are dropped from a match
    block; in one that is `excluding` they are held against a user without name, groups and roles. Raises `InvalidPolicy` for
    a subject of an unknown kind and for a bad selector.
    """
    resources = document.get("resources") or {}
    roles, cluster_roles = document.get("roles") or (), document.get("clusterRoles") or ()
    user = compile_user(roles=roles, cluster_roles=cluster_roles, subjects=document.get("subjects") or (), path=path)
    kinds = tuple(map(parse_kind, resources.get("kinds") or ()))
    operations = frozenset(resources.get("operations") or ())
    fits = compile_kinds(kinds) if kinds else None
    spots, objects = list(_spot_tests(operations, fits)), list(_object_tests(resources, f"{path}.resources"))
    described = any(resources.get(key) not in (None, "") for key in RESOURCE_FIELDS)
    return Block(
        kinds=kinds or ((EVERY_KIND,) if described or user else ()),
        operations=operations,
        test=_all_of([*spots, *objects, *_user_tests(user, excluding, described)] or [_always if described else _never]),
        spot=_spot(operations, fits, empty=not (described or user)),
        static=user is None and not objects,
        user=user is not None,
        roles=bool(roles or cluster_roles),
        namespace_labels=resources.get("namespaceSelector") is not None,
    )


def _spot(operations: frozenset[str], fits: KindTest | None, *, empty: bool) -> Spot:
    if empty:
        return lambda kind, subresource, operation: False
    return lambda kind, subresource, operation: (
        (not operations or operation in operations) and (fits is None or fits(kind, subresource))
    )


def _spot_tests(operations: frozenset[str], fits: KindTest | None) -> Iterator[ObjectTest]:
    if operations:
        yield lambda request, _: request.operation in operations
    if fits is not None:
        yield lambda request, _: fits(request.kind, request.subresource)


def _user_tests(user: UserTest | None, excluding: bool, described: bool) -> Iterator[ObjectTest]:
    if user is None:
        return
    if excluding:
        yield lambda request, _: user(request.user or NOBODY)
    elif described:
        yield lambda request, _: request.user is None or user(request.user)
    else:
        yield lambda request, _: request.user is not None and user(request.user)


def _object_tests(resources: Mapping[str, Any], path: str) -> Iterator[ObjectTest]:
    if name := resources.get("name"):
        yield _name_test(compile_wildcard(name))
    if names := resources.get("names"):
        yield _name_test(compile_any(names))
    if namespaces := resources.get("namespaces"):
        yield _namespace_test(compile_any(namespaces))
    for key, value in (resources.get("annotations") or {}).items():
        yield _annotation_test(compile_wildcard(key), compile_wildcard(value))
    if resources.get("selector") is not None:
        selects = _selector(resources["selector"], f"{path}.selector")
        yield lambda _, object_: selects(_texts(object_, "labels"))
    if resources.get("namespaceSelector") is not None:
        yield _namespace_selector_test(_selector(resources["namespaceSelector"], f"{path}.namespaceSelector"))


def _name_test(fits: Callable[[str], bool]) -> ObjectTest:
    def named(request: Request, object_: Object) -> bool:
        return fits(_text(object_, "name") or _text(object_, "generateName"))

    return named


def _namespace_test(fits: Callable[[str], bool]) -> ObjectTest:
    def inside(request: Request, object_: Object) -> bool:
        return fits(_text(object_, "name") if request.kind.kind == NAMESPACE else request.namespace)

    return inside


def _annotation_test(key_fits: Callable[[str], bool], value_fits: Callable[[str], bool]) -> ObjectTest:
    return lambda _, object_: any(key_fits(key) and value_fits(value) for key, value in _texts(object_, "annotations").items())


def _namespace_selector_test(selects: Selector) -> ObjectTest:
    def in_selected_namespace(request: Request, object_: Object) -> bool:
        # A Namespace is never inside a namespace; a request that names no kind is let through (spec 2.1).
        kind = request.kind.kind
        return not kind or (kind != NAMESPACE and selects(request.namespace_labels or {}))

    return in_selected_namespace


def _all_of(tests: list[ObjectTest]) -> ObjectTest:
    match tests:
        case [test]:
            return test
        case [first, second]:
            return lambda request, object_: first(request, object_) and second(request, object_)
        case _:
            return lambda request, object_: all(test(request, object_) for test in tests)


def _always(request: Request, object_: Object) -> bool:
    return True


def _never(request: Request, object_: Object) -> bool:
    return False


def _selector(document: Any, path: str) -> Selector:
    try:
        return compile_selector(document)
    except InvalidSelector as error:
        raise InvalidPolicy(f"{path}.{error.path}" if error.path else path, error.reason) from None


def _text(object_: Object, key: str) -> str:
    metadata = object_.get("metadata")
    value = metadata.get(key) if isinstance(metadata, dict) else None
    return value if isinstance(value, str) else ""


def _texts(object_: Object, key: str) -> Mapping[str, str]:
    """Labels or annotations of the object; none where one of them is no string, as Kubernetes' accessors say."""
    metadata = object_.get("metadata")
    values = metadata.get(key) if isinstance(metadata, dict) else None
    if not isinstance(values, dict) or not all(isinstance(value, str) for value in values.values()):
        return {}
    return values
