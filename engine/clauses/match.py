"""match and exclude of a rule, compiled to one predicate on requests (spec 2.1, 9.8)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from engine.clauses.block import EVERY_KIND, NAMESPACE, Block, ObjectTest, Spot, compile_block
from engine.clauses.kinds import parse_kind
from engine.clauses.match_shape import BLOCK_FIELDS, OPERATIONS, check_shape
from engine.clauses.match_validation import check_match
from engine.policy import KindSelector, Reach
from engine.request import GroupVersionKind, Object, Request

__all__ = ["CompiledMatch", "check_match", "compile_match", "parse_kind"]


@dataclass(frozen=True, slots=True, eq=False)
class Clause:
    """A whole match or exclude: its blocks, and whether all of them must hold or any.

    `spot` may hold where `test` does not; `sure` (known from kind, subresource and operation alone) holds only where it does.
    """

    blocks: tuple[Block, ...]
    every: bool
    test: ObjectTest
    spot: Spot
    sure: Spot


class CompiledMatch:
    """The `Match` of a rule (engine/policy.py)."""

    __slots__ = (
        "_applies",
        "_excluded",
        "_spot",
        "kinds",
        "needs_namespace_labels",
        "needs_roles",
        "needs_user",
        "operations",
        "reach",
    )

    def __init__(self, match: Clause, exclude: Clause, policy_namespace: str) -> None:
        blocks = (*match.blocks, *exclude.blocks)
        self.kinds: tuple[KindSelector, ...] = tuple(dict.fromkeys(kind for block in match.blocks for kind in block.kinds))
        self.reach = _reach(match, exclude)
        self.operations = frozenset(operation for reach in self.reach for operation in reach.operations)
        self.needs_user = any(block.user for block in blocks)
        self.needs_roles = any(block.roles for block in blocks)
        self.needs_namespace_labels = any(block.namespace_labels for block in blocks)
        self._spot = match.spot
        self._excluded = exclude.sure
        self._applies = _scoped(_unless(match.test, exclude), policy_namespace)

    def __call__(self, request: Request) -> bool:
        """Does the rule apply?

        The new object decides and, where it does not match, the old one: an UPDATE that moves an object out of the rule's
        reach is still looked at, and a DELETE is judged by the object that goes.
        """
        new, old = request.object, request.old_object
        return (new is not None and self._applies(request, new)) or (old is not None and self._applies(request, old))

    def covers(self, kind: GroupVersionKind, subresource: str, operation: str) -> bool:
        """Can a request of this kind, subresource and operation match at all? Reads nothing else of it."""
        return self._spot(kind, subresource, operation) and not self._excluded(kind, subresource, operation)


def compile_match(
    match: Mapping[str, Any], exclude: Mapping[str, Any] | None, *, path: str, policy_namespace: str = ""
) -> CompiledMatch:
    """The predicate of `match` and `exclude`, which stand at `path`.match and `path`.exclude of the document.

    Both forms are accepted: `any`/`all` lists of blocks, and one block directly. An empty block matches nothing and excludes
    nothing. Criteria on users are dropped from match where `request.user` is None. With `policy_namespace` only objects of that
    namespace match. Raises `InvalidPolicy` for a wrong shape, an unknown operation or subject kind and a bad selector;
    what only the policy webhook refuses is `check_match`'s.
    """
    return CompiledMatch(
        _clause(match, f"{path}.match"),
        _clause({} if exclude is None else exclude, f"{path}.exclude", excluding=True),
        policy_namespace,
    )


def _clause(document: Any, path: str, *, excluding: bool = False) -> Clause:
    check_shape(document, path)
    for key, combined in (("any", _any_of), ("all", _all_of)):
        if document.get(key):
            places = ((block, f"{path}.{key}[{index}]") for index, block in enumerate(document[key]))
            return combined(tuple(compile_block(block, place, excluding=excluding) for block, place in places))
    return _any_of((compile_block(document, path, excluding=excluding),)) if any(map(document.get, BLOCK_FIELDS)) else NOTHING


def _any_of(blocks: tuple[Block, ...]) -> Clause:
    spot, sure = _any_spot(blocks), _any_spot(tuple(block for block in blocks if block.static))
    if len(blocks) == 1:
        return Clause(blocks, False, blocks[0].test, spot, sure)
    tests = tuple(block.test for block in blocks)
    return Clause(blocks, False, lambda request, object_: any(test(request, object_) for test in tests), spot, sure)


def _all_of(blocks: tuple[Block, ...]) -> Clause:
    if len(blocks) == 1:
        return _any_of(blocks)
    tests, spots = tuple(block.test for block in blocks), tuple(block.spot for block in blocks)

    def spot(kind: GroupVersionKind, subresource: str, operation: str) -> bool:
        return all(spot(kind, subresource, operation) for spot in spots)

    sure = spot if all(block.static for block in blocks) else _nowhere
    return Clause(blocks, True, lambda request, object_: all(test(request, object_) for test in tests), spot, sure)


def _any_spot(blocks: tuple[Block, ...]) -> Spot:
    spots = tuple(block.spot for block in blocks)
    if not spots:
        return _nowhere
    if len(spots) == 1:
        return spots[0]
    return lambda kind, subresource, operation: any(spot(kind, subresource, operation) for spot in spots)


def _nowhere(kind: GroupVersionKind, subresource: str, operation: str) -> bool:
    return False


def _never(request: Request, object_: Object) -> bool:
    return False


NOTHING = Clause((), False, _never, _nowhere, _nowhere)


def _unless(test: ObjectTest, exclude: Clause) -> ObjectTest:
    if not exclude.blocks:
        return test
    excluded = exclude.test
    return lambda request, object_: test(request, object_) and not excluded(request, object_)


def _scoped(test: ObjectTest, namespace: str) -> ObjectTest:
    if not namespace:
        return test
    return lambda request, object_: request.namespace == namespace and request.kind.kind != NAMESPACE and test(request, object_)


def _reach(match: Clause, exclude: Clause) -> tuple[Reach, ...]:
    """Per kind the operations that can match: the blocks' own, less those a block of kinds and operations alone excludes."""
    shared = OPERATIONS
    if match.every:
        for block in match.blocks:
            shared &= block.operations or OPERATIONS
    taken = () if exclude.every else tuple(block for block in exclude.blocks if block.static)
    reached: dict[KindSelector, tuple[frozenset[str], bool]] = {}
    for block in match.blocks:
        for kind in block.kinds:
            operations = (block.operations or OPERATIONS) & shared
            for excluding in taken:
                if any(other.text in (kind.text, EVERY_KIND.text) for other in excluding.kinds):
                    operations -= excluding.operations or OPERATIONS
            before, stated = reached.get(kind, (frozenset(), True))
            stated_here = bool(block.operations) or shared != OPERATIONS
            reached[kind] = before | operations, stated and stated_here
    return tuple(Reach(kind, operations, stated) for kind, (operations, stated) in reached.items() if operations)
