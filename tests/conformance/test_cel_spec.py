"""The test cases of the CEL specification (google/cel-spec) that need no protocol buffer messages."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from engine.lang.cel import CelError, Environment, KeyedMap, TypeValue, UInt
from engine.lang.cel.values import equal, kind_of, make_map
from engine.lang.errors import ExpressionError, ExpressionSyntaxError
from tests.conformance.oracle import Case, conformance_dir, score

_BYTES_MARK = "\x00b"


def cases() -> Iterator[Case]:
    file = conformance_dir() / "cel" / "cases.json"
    if not file.is_file():
        pytest.skip(f"no such recording: {file}")
    seen: Counter[str] = Counter()
    for case in json.loads(file.read_bytes()):
        name = f"{case['file']}/{case['section']}/{case['name']}"
        seen[name] += 1
        yield {**case, "id": name if seen[name] == 1 else f"{name}#{seen[name]}"}


def octets(text: str) -> bytes:
    """Bytes that are no UTF-8 stand behind a mark, one code point a byte."""
    return text[len(_BYTES_MARK) :].encode("latin-1") if text.startswith(_BYTES_MARK) else text.encode()


def value_of(tagged: dict[str, Any]) -> Any:
    ((tag, value),) = tagged.items()
    match tag:
        case "null_value":
            return None
        case "int64_value":
            return int(value)
        case "uint64_value":
            return UInt(value)
        case "double_value":
            return float(value)
        case "bytes_value":
            return octets(value)
        case "type_value":
            return TypeValue(value)
        case "list_value":
            return [value_of(item) for item in value.get("values", [])]
        case "map_value":
            return make_map([(value_of(entry["key"]), value_of(entry["value"])) for entry in value.get("entries", [])])
    return value


def same(found: Any, wanted: Any) -> bool:
    """Equal in type and value, all the way down; NaN is NaN, -0.0 is not 0.0."""
    if kind_of(found) != kind_of(wanted):
        return False
    if isinstance(wanted, list):
        return len(found) == len(wanted) and all(map(same, found, wanted))
    if isinstance(wanted, (dict, KeyedMap)):
        return len(found) == len(wanted) and all(same(found[key], value) for key, value in wanted.items())
    if isinstance(wanted, float):
        return (math.isnan(found) and math.isnan(wanted)) or (
            found == wanted and math.copysign(1, found) == math.copysign(1, wanted)
        )
    return equal(found, wanted)


def difference(case: Case) -> str | None:
    bindings = {name: value_of(binding.get("value", binding)) for name, binding in case.get("bindings", {}).items()}
    environment = Environment(
        dict.fromkeys(bindings, "dyn"), container=case.get("container", ""), checked=not case.get("disable_check")
    )
    try:
        found = environment.compile(case["expr"])(bindings)
    except (ExpressionError, ExpressionSyntaxError) as error:
        if "error" in case:
            return None
        return f"{case['expr']!r} -> {type(error).__name__} {error}, want {json.dumps(case['value'])[:200]}"
    if "error" in case:
        return f"{case['expr']!r} -> {found!r}, want error {case['error']}"
    wanted = value_of(case["value"])
    return None if same(found, wanted) else f"{case['expr']!r} -> {found!r}, want {wanted!r}"


def test_the_specifications_cases() -> None:
    score("cel", cases(), difference)


def test_an_error_that_should_happen_at_run_time_is_no_syntax_error() -> None:
    """Division by zero is folded when compiling; it must stay an evaluation error."""
    program = Environment({}).compile("1 / 0 == 1")
    with pytest.raises(CelError):
        program({})
