"""What policy validation refuses in match and exclude although it compiles, in Kyverno's words (spec 3.4, oracle/match.json)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from engine.clauses.match_shape import check_shape
from engine.errors import InvalidPolicy
from engine.lang import go_json
from engine.lang.selector import InvalidSelector, compile_selector, has_wildcard_labels, selects_everything
from engine.lang.wildcard import matches

Fields = Mapping[str, Any]
"""Fields of an API type in the order in which its JSON shows them; a value is the type of the field or None for plain JSON."""

SELECTOR: Fields = {"matchLabels": None, "matchExpressions": {"key": None, "operator": None, "values": None}}
SUBJECT: Fields = {"kind": None, "apiGroup": None, "name": None, "namespace": None}
RESOURCES: Fields = {
    "kinds": None,
    "name": None,
    "names": None,
    "namespaces": None,
    "annotations": None,
    "selector": SELECTOR,
    "namespaceSelector": SELECTOR,
    "operations": None,
}
BLOCK: Fields = {"roles": None, "clusterRoles": None, "subjects": SUBJECT, "resources": RESOURCES}
CLAUSE: Fields = {"any": BLOCK, "all": BLOCK, **BLOCK}
VALIDATE: Fields = dict.fromkeys(
    ("failureAction", "failureActionOverrides", "allowExistingViolations", "message", "manifests", "foreach")
)
RULE: Fields = {
    "name": None,
    "context": None,
    "match": CLAUSE,
    "exclude": CLAUSE,
    "imageExtractors": None,
    "preconditions": None,
    "celPreconditions": None,
    "mutate": None,
    "validate": VALIDATE,
    "generate": None,
    "verifyImages": None,
    "skipBackgroundRequests": None,
}

SUBJECT_KINDS = ("User", "Group", "ServiceAccount")
NO_KINDS = (
    "at least one element must be specified in a kind block, "
    "the kind attribute is mandatory when working with the resources element"
)

Problem = tuple[str, str]
"""(path, reason)"""


def check_match(rule: Mapping[str, Any], path: str, *, namespaced: bool = False) -> None:
    """Raises `InvalidPolicy` where match and exclude of `rule`, which stands at `path`, are refused by the policy webhook.

    `namespaced`: the rule belongs to a Policy. A wrong shape is reported first. Several problems come as one error without a
    path whose reason lists them in brackets. Call this before `compile_match`, which is content with less and has words of
    its own.
    """
    match, exclude = (rule[key] if rule.get(key) is not None else {} for key in ("match", "exclude"))
    check_shape(match, f"{path}.match")
    check_shape(exclude, f"{path}.exclude")
    problems = [
        *_conflict(rule, path),
        *_clause_problems(match, f"{path}.match", namespaced),
        *_clause_problems(exclude, f"{path}.exclude", namespaced),
    ]
    if len(problems) == 1:
        raise InvalidPolicy(*problems[0])
    if problems:
        listed = ", ".join(f"{at}: {reason}" for at, reason in problems)
        raise InvalidPolicy("", f"[{listed}]", place=problems[0][0])
    blocks = _blocks(match, f"{path}.match")
    for place, block in blocks:
        if not block.get("resources"):
            raise InvalidPolicy("", f"path: {path}.match.resources.: match resources not specified", place=place)
    for place, block in blocks:
        if not block["resources"].get("kinds"):
            raise InvalidPolicy("", NO_KINDS, place=f"{place}.resources")


def _conflict(rule: Mapping[str, Any], path: str) -> Iterator[Problem]:
    if _excludes_itself(rule.get("match") or {}, rule.get("exclude") or {}):
        yield path, f"Invalid value: {rule_text(rule)}: Rule is matching an empty set"


def _excludes_itself(match: Mapping[str, Any], exclude: Mapping[str, Any]) -> bool:
    """Is there a block in both `any` lists or, in the direct form, does exclude ask for nothing that match does not?

    `all` is not judged.
    """
    if match.get("all") or exclude.get("all"):
        return False
    if match.get("any") or exclude.get("any"):
        written = [_pruned(block) for block in match.get("any") or []]
        return any(_pruned(block) in written for block in exclude.get("any") or [])
    covering = _pruned(exclude)
    return bool(covering) and _is_part_of(_pruned(match), covering)


def _is_part_of(inner: Mapping[str, Any], outer: Mapping[str, Any]) -> bool:
    """Does the block `outer` hold for everything that the block `inner` holds for, as far as their texts tell?"""
    inside, outside = inner.get("resources") or {}, outer.get("resources") or {}
    return (
        all(_narrower(inner.get(key), outer.get(key)) for key in ("roles", "clusterRoles", "subjects"))
        and all(_narrower(inside.get(key), outside.get(key)) for key in ("kinds", "namespaces", "operations"))
        and _named_within(_names(inside), _names(outside))
        and _contains(inside.get("annotations"), outside.get("annotations"))
        and all(_selects_less(inside.get(key), outside.get(key)) for key in ("selector", "namespaceSelector"))
    )


def _narrower(inner: list[Any] | None, outer: list[Any] | None) -> bool:
    return not outer or bool(inner and all(item in outer for item in inner))


def _names(resources: Mapping[str, Any]) -> list[str]:
    return [name for name in (resources.get("name"), *(resources.get("names") or [])) if name]


def _named_within(inner: list[str], outer: list[str]) -> bool:
    return not outer or bool(inner and all(any(matches(other, name) for other in outer) for name in inner))


def _contains(inner: Mapping[str, str] | None, outer: Mapping[str, str] | None) -> bool:
    return (outer or {}).items() <= (inner or {}).items()


def _selects_less(inner: Mapping[str, Any] | None, outer: Mapping[str, Any] | None) -> bool:
    if outer is None:
        return True
    if inner is None or not _contains(inner.get("matchLabels"), outer.get("matchLabels")):
        return False
    return all(expression in (inner.get("matchExpressions") or []) for expression in outer.get("matchExpressions") or [])


def _clause_problems(clause: Mapping[str, Any], path: str, namespaced: bool) -> Iterator[Problem]:
    for index, block in enumerate(clause.get("any") or []):
        yield from _block_problems(block, f"{path}.any[{index}]", f"{path}.any[{index}]", namespaced)
    for index, block in enumerate(clause.get("all") or []):
        # Kyverno names `any` for user criteria under `all`, and so do the recorded texts.
        yield from _block_problems(block, f"{path}.all[{index}]", f"{path}.any[{index}]", namespaced)
    yield from _block_problems(clause, path, path, namespaced)


def _block_problems(block: Mapping[str, Any], path: str, user_path: str, namespaced: bool) -> Iterator[Problem]:
    for index, role in enumerate(block.get("roles") or []):
        if role.count(":") != 1:
            yield (
                f"{user_path}.roles[{index}]",
                f"Invalid value: {go_json.quote(role)}: Role is expected to be in namespace:name format",
            )
    for index, subject in enumerate(block.get("subjects") or []):
        yield from _subject_problems(subject, f"{user_path}.subjects[{index}]")
    resources = block.get("resources") or {}
    if resources.get("name") and resources.get("names"):
        yield path, f"Invalid value: {_struct(resources, RESOURCES)}: Both name and names can not be specified together"
    if namespaced and resources.get("namespaces"):
        yield f"{path}.namespaces", "Forbidden: Filtering namespaces not allowed in namespaced policies"
    if resources.get("selector") is not None:
        yield from _selector_problems(resources["selector"], f"{path}.selector")


def _subject_problems(subject: Mapping[str, Any], path: str) -> Iterator[Problem]:
    kind = subject.get("kind") or ""
    if kind not in SUBJECT_KINDS:
        yield f"{path}.kind", f"Invalid value: {go_json.quote(kind)}: kind must be 'User', 'Group', or 'ServiceAccount'"
    if not subject.get("name"):
        yield f"{path}.name", "Required value: name is required"
    if kind == "ServiceAccount" and not subject.get("namespace"):
        yield f"{path}.namespace", "Required value: namespace is required when Kind is ServiceAccount"


def _selector_problems(selector: Mapping[str, Any], path: str) -> Iterator[Problem]:
    try:
        if has_wildcard_labels(selector):
            return
        compile_selector(selector)
    except InvalidSelector as error:
        yield path, f"Invalid value: {_struct(selector, SELECTOR)}: {error.reason}"
        return
    if selects_everything(selector):
        yield path, "Invalid value: {}: The requirements are not specified in selector"


def _blocks(clause: Mapping[str, Any], path: str) -> list[tuple[str, Mapping[str, Any]]]:
    """(path, block) of every block."""
    for name in ("any", "all"):
        if clause.get(name):
            return [(f"{path}.{name}[{index}]", block) for index, block in enumerate(clause[name])]
    return [(path, clause)]


def rule_text(rule: Mapping[str, Any]) -> str:
    """The rule as Kyverno's errors quote it: JSON in the order of its API type, with the defaults that it fills in."""
    shown = dict(rule)
    for key in ("match", "exclude"):
        if shown.get(key) is not None:
            shown[key] = {**shown[key], "resources": shown[key].get("resources") or {}}
    if isinstance(shown.get("validate"), Mapping):
        shown["validate"] = {"allowExistingViolations": True, **shown["validate"]}
    shown.setdefault("skipBackgroundRequests", True)
    return _struct(shown, RULE)


def _struct(value: Mapping[str, Any], fields: Fields) -> str:
    parts = []
    for key in (*(key for key in fields if key in value), *sorted(key for key in value if key not in fields)):
        if _given(value[key]) or key == "resources":
            parts.append(f"{go_json.quote(key)}:{_field(value[key], fields.get(key))}")
    return f"{{{','.join(parts)}}}"


def _field(value: Any, fields: Fields | None) -> str:
    if fields is not None and isinstance(value, list):
        return f"[{','.join(_field(item, fields) for item in value)}]"
    if fields is not None and isinstance(value, Mapping):
        return _struct(value, fields)
    return go_json.dumps(value)


def _given(value: Any) -> bool:
    return value not in (None, "", [], {})


def _pruned(block: Mapping[str, Any], fields: Fields = BLOCK) -> dict[str, Any]:
    """The known fields of a block without empty lists and strings, so that spelling an empty one out makes no difference.

    An empty selector stays: it is a criterion.
    """
    pruned = {}
    for key in fields:
        value = block.get(key)
        if key == "resources" and value:
            value = _pruned(value, RESOURCES)
        if _given(value) or (value == {} and fields[key] is SELECTOR):
            pruned[key] = value
    return pruned
