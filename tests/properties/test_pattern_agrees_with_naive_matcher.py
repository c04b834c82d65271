"""Compiled patterns say what a plain recursive reading of spec 9.1 says: verdict, path and words, on generated documents."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from engine.lang.anchors import AnchorKind, parse_anchor
from engine.lang.go_format import plain, type_name
from engine.lang.operators import compile_scalar
from engine.lang.pattern import compile_pattern

CONDITION, GLOBAL = "conditional anchor mismatch", "global anchor mismatch"
NEGATION = "negation anchor matched in resource"


class Bad(Exception):
    """`kinds`: what it is; `says`: which kinds its text mentions."""

    def __init__(self, text: str, path: str, kinds: tuple[str, ...] = (), inner: tuple[Bad, ...] = ()) -> None:
        super().__init__(text)
        self.text, self.path, self.kinds = text, path, {*kinds}
        self.says: set[str] = {*kinds}.union(*(one.says for one in inner))

    @property
    def skips(self) -> bool:
        return bool(self.kinds & {CONDITION, GLOBAL})


def check(value: Any, pattern: Any, path: str, seen: dict[str, bool]) -> None:
    if isinstance(pattern, dict):
        if not isinstance(value, dict):
            kinds = f"Expected map[string]interface {{}}, found {type_name(value)}"
            raise Bad(f"pattern and resource have different structures. Path: {path}. {kinds}", path)
        check_map(value, pattern, path, seen)
    elif isinstance(pattern, list):
        if not isinstance(value, list):
            raise Bad(f"validation rule failed at path {path}, resource does not satisfy the expected overlay pattern", path)
        if not pattern:
            raise Bad("pattern Array empty", path)
        if isinstance(pattern[0], dict):
            check_elements(value, pattern[0], path, seen)
        elif isinstance(pattern[0], list):
            if len(value) < len(pattern):
                lengths = f"resource Array len is {len(value)} and pattern Array len is {len(pattern)}"
                raise Bad(f"validate Array failed, array length mismatch, {lengths}", "")
            check(value[0], pattern[0], f"{path}0/", seen)
        else:
            check(value, pattern[0], path, seen)
    elif not all(map(compile_scalar(pattern), value if isinstance(value, list) else [value])):
        shown = plain(float(pattern) if type(pattern) is int else pattern)
        raise Bad(f"resource value '{plain(value)}' does not match '{shown}' at path {path}", path)


def check_elements(value: list[Any], pattern: Any, path: str, seen: dict[str, bool]) -> None:
    skips = []
    for index, element in enumerate(value):
        try:
            check(element, pattern, f"{path}{index}/", seen)
        except Bad as bad:
            if not bad.skips:
                raise
            skips.append(bad)
    if skips and len(skips) == len(value):
        raise together(skips, path)


def together(skips: list[Bad], path: str) -> Bad:
    if len(skips) == 1:
        return skips[0]
    says = set().union(*(one.says for one in skips))
    return Bad("; ".join(one.text for one in skips), path, tuple(says), tuple(skips))


def check_map(value: dict[str, Any], pattern: dict[str, Any], path: str, seen: dict[str, bool]) -> None:
    anchors = {key: parse_anchor(key) for key in sorted(pattern)}
    for key, anchor in anchors.items():
        if anchor and anchor.kind in (AnchorKind.CONDITION, AnchorKind.EXISTENCE):
            seen[key] = seen.get(key, False) or anchor.name in value
    early = [key for key, anchor in anchors.items() if anchor and anchor.kind is not AnchorKind.GLOBAL]
    late: list[str] = []
    for key in anchors:
        if key not in early:
            late = [key, *late] if anchors[key] or anchored(pattern[key]) else [*late, key]
    skips, satisfied, final = [], 0, False
    for key in early:
        try:
            check_member(value, key, pattern[key], path, seen)
            satisfied += 1
        except Bad as bad:
            if bad.skips:
                skips.append(bad)
                final = final or key.startswith("(") or GLOBAL in bad.kinds
            elif not final:
                raise
    if skips and (final or not satisfied):
        raise together(skips, path)
    for key in late:
        check_member(value, key, pattern[key], path, seen)


def anchored(pattern: Any) -> bool:
    if isinstance(pattern, dict):
        return any(map(parse_anchor, pattern)) or any(map(anchored, pattern.values()))
    return isinstance(pattern, list) and any(map(anchored, pattern))


def check_member(value: dict[str, Any], key: str, pattern: Any, path: str, seen: dict[str, bool]) -> None:
    anchor = parse_anchor(key)
    name = anchor.name if anchor else key
    kind = anchor.kind if anchor else None
    below = f"{path}{name}/"
    if kind is None and pattern == "*":
        if value.get(name) is None:
            raise Bad(f"{path}/{name} not found", path)
    elif kind is AnchorKind.CONDITION and name not in value:
        raise Bad(f"{CONDITION}: conditional anchor key doesn't exist in the resource", "", (CONDITION,))
    elif kind is not None and name not in value:
        return
    elif kind is AnchorKind.NEGATION:
        raise Bad(f"{NEGATION}: {below} is not allowed", below, (NEGATION,))
    elif kind is AnchorKind.EXISTENCE:
        check_existence(value[name], pattern, below, seen)
    elif kind in (AnchorKind.CONDITION, AnchorKind.GLOBAL):
        word = CONDITION if kind is AnchorKind.CONDITION else GLOBAL
        try:
            check(value[name], pattern, below, seen)
        except Bad as bad:
            raise Bad(f"{word}: {bad.text}", bad.path, (word,), (bad,)) from None
    else:
        check(value.get(name), pattern, below, seen)


def check_existence(value: Any, pattern: list[Any], path: str, seen: dict[str, bool]) -> None:
    if not isinstance(value, list):
        only = "Existence ^ () anchor can be used only on list/array type resource"
        raise Bad(f"invalid resource type {type_name(value)}: {only}", path)
    for wanted in pattern:
        for index, element in enumerate(value):
            try:
                check(element, wanted, f"{path}{index}/", seen)
                break
            except Bad:
                continue
        else:
            raise Bad(f"existence anchor validation failed at path {path}", path)


def naive(value: Any, pattern: Any) -> tuple[bool, str, str] | None:
    seen: dict[str, bool] = {}
    try:
        check(value, pattern, "/", seen)
    except Bad as bad:
        missing = not bad.kinds and not all(seen.values())
        return bad.skips, "" if missing and not bad.skips else bad.path, bad.text
    return None


names = st.sampled_from(["a", "b", "c"])
scalars = st.sampled_from([None, True, False, 0, 1, 2.5, "", "x", "yx", "1h", "100m", "1Gi"])
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3), max_leaves=12
)
leaves = st.sampled_from([None, True, 0, 1, "*", "?*", "x", "!x", "x|1h", ">0", "<5", "y*", "0-3", 2.5])
anchors = st.sampled_from(["{}", "{}", "{}", "({})", "=({})", "X({})", "<({})"])


def maps(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    plainly = st.tuples(st.builds(str.format, anchors, names), inner)
    existing = st.tuples(
        st.builds("^({})".format, names), st.lists(st.dictionaries(names, inner, max_size=2), min_size=1, max_size=2)
    )
    return st.lists(plainly | plainly | plainly | existing, max_size=3).map(dict)


patterns = st.recursive(
    leaves,
    lambda inner: maps(inner) | st.lists(inner, max_size=1) | st.lists(st.lists(inner, max_size=1), max_size=1),
    max_leaves=12,
)


@settings(max_examples=400, deadline=None)
@given(pattern=maps(patterns), value=values)
def test_compiled_patterns_agree_with_the_naive_matcher(pattern: Any, value: Any) -> None:
    before = deepcopy((pattern, value))
    found = compile_pattern(pattern)(value)
    wanted = naive(value, pattern)
    assert (pattern, value) == before, "inputs are never written to"
    if wanted is None or found is None:
        assert found is None
        assert wanted is None
        return
    skips, path, text = wanted
    assert (found.skips, found.text) == (skips, text)
    assert skips or found.path == path
