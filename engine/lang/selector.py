"""Label selectors: `matchLabels` and `matchExpressions`, with Kyverno's wildcards in matchLabels.

A pair of matchLabels with `*` or `?` in its key or value holds when some label of the object fits both (spec 2.1: the pair
is expanded against the actual labels, and without a candidate it cannot match). matchExpressions know no wildcards.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from engine.lang import go_json
from engine.lang.errors import LanguageError
from engine.lang.label import key_problems, value_problems
from engine.lang.wildcard import compile_wildcard, has_wildcard

Labels = Mapping[str, str]
Selector = Callable[[Labels], bool]


class InvalidSelector(LanguageError):
    """A selector that does not compile: `path` inside the selector (`matchExpressions[0]`), `reason` in Kubernetes' words."""

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(f"{path}: {reason}")
        self.path = path
        self.reason = reason


def compile_selector(document: Any) -> Selector:
    """A predicate on labels. The empty selector accepts everything; raises `InvalidSelector`."""
    if not isinstance(document, Mapping):
        raise InvalidSelector("", "must be a map")
    tests = [
        *_label_tests(_labels_of(document)),
        *(_expression_test(path, *expression) for path, expression in expressions(document)),
    ]
    if not tests:
        return _everything
    if len(tests) == 1:
        return tests[0]
    return lambda labels: all(test(labels) for test in tests)


def selects_everything(document: Mapping[str, Any]) -> bool:
    """Has the selector no requirement at all?"""
    return not document.get("matchLabels") and not document.get("matchExpressions")


def has_wildcard_labels(document: Mapping[str, Any]) -> bool:
    """Is there a wildcard in matchLabels?"""
    return any(has_wildcard(key) or has_wildcard(value) for key, value in _labels_of(document).items())


def _everything(labels: Labels) -> bool:
    return True


def _labels_of(document: Mapping[str, Any]) -> dict[str, str]:
    labels = document.get("matchLabels")
    if labels is None:
        return {}
    if not isinstance(labels, Mapping):
        raise InvalidSelector("matchLabels", "must be a map")
    for key, value in labels.items():
        if not isinstance(key, str) or not isinstance(value, str):
            raise InvalidSelector(f"matchLabels[{key}]", "must be a string")
    return dict(labels)


def _label_tests(labels: dict[str, str]) -> Iterator[Selector]:
    literal = []
    for key, value in sorted(labels.items()):
        if has_wildcard(key) or has_wildcard(value):
            yield _wildcard_pair(key, value)
            continue
        problem = _problem(key, "In", [value])
        if problem:
            raise InvalidSelector(f"matchLabels[{key}]", problem)
        literal.append((key, value))
    if len(literal) == 1:
        yield _literal_pair(*literal[0])
    elif literal:
        yield lambda actual: all(actual.get(key) == value for key, value in literal)


def _literal_pair(key: str, value: str) -> Selector:
    return lambda labels: labels.get(key) == value


def _wildcard_pair(key: str, value: str) -> Selector:
    value_fits = compile_wildcard(value)
    if not has_wildcard(key):
        return lambda labels: key in labels and value_fits(labels[key])
    key_fits = compile_wildcard(key)
    return lambda labels: any(key_fits(name) and value_fits(text) for name, text in labels.items())


Expression = tuple[str, str, list[str]]


def expressions(document: Mapping[str, Any]) -> Iterator[tuple[str, Expression]]:
    """The requirements of matchExpressions as (path, (key, operator, values)); raises `InvalidSelector` on a wrong shape."""
    items = document.get("matchExpressions")
    if items is None:
        return
    if not isinstance(items, list):
        raise InvalidSelector("matchExpressions", "must be a list")
    for index, item in enumerate(items):
        path = f"matchExpressions[{index}]"
        if not isinstance(item, Mapping):
            raise InvalidSelector(path, "must be a map")
        key, operator, values = item.get("key", ""), item.get("operator", ""), item.get("values") or []
        if not isinstance(key, str) or not isinstance(operator, str):
            raise InvalidSelector(path, "key and operator must be strings")
        if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
            raise InvalidSelector(f"{path}.values", "must be a list of strings")
        yield path, (key, operator, values)


def _expression_test(path: str, key: str, operator: str, values: list[str]) -> Selector:
    problem = _problem(key, operator, values)
    if problem:
        raise InvalidSelector(path, problem)
    return TESTS[operator](key, frozenset(values))


TESTS: dict[str, Callable[[str, frozenset[str]], Selector]] = {
    "In": lambda key, values: lambda labels: labels.get(key) in values,
    "NotIn": lambda key, values: lambda labels: labels.get(key) not in values,
    "Exists": lambda key, _: lambda labels: key in labels,
    "DoesNotExist": lambda key, _: lambda labels: key not in labels,
}


def _problem(key: str, operator: str, values: list[str]) -> str:
    """What Kubernetes says against this requirement, empty when nothing."""
    if operator not in TESTS:
        return f"{go_json.quote(operator)} is not a valid label selector operator"
    problems = [f"key: Invalid value: {go_json.quote(key)}: {'; '.join(found)}" for found in [key_problems(key)] if found]
    if operator in ("In", "NotIn") and not values:
        problems.append("values: Invalid value: null: for 'in', 'notin' operators, values set can't be empty")
    if operator in ("Exists", "DoesNotExist") and values:
        problems.append(f"values: Invalid value: {go_json.dumps(values)}: values set must be empty for exists and does not exist")
    for index, value in enumerate(values):
        found = value_problems(value)
        if found:
            problems.append(f"values[{index}][{key}]: Invalid value: {go_json.quote(value)}: {'; '.join(found)}")
    return problems[0] if len(problems) == 1 else f"[{', '.join(problems)}]" if problems else ""
