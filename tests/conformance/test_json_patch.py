"""The public JSON Patch test suite, applied strictly."""

import json
from typing import Any

import pytest

from engine.document import PatchError, PointerError, apply_patch, same
from tests.conformance.oracle import conformance_dir


def suite() -> list[dict[str, Any]]:
    folder = conformance_dir() / "json-patch"
    return [case for name in ("tests.json", "spec_tests.json") for case in json.loads((folder / name).read_text())]


def test_the_json_patch_suite_passes() -> None:
    wrong = []
    ran = 0
    for number, case in enumerate(suite()):
        if case.get("disabled") or "patch" not in case:
            continue
        ran += 1
        try:
            actual = apply_patch(case["doc"], case["patch"])
        except (PatchError, PointerError) as error:
            if "error" not in case:
                wrong.append((number, case.get("comment"), str(error)))
            continue
        if "error" in case or ("expected" in case and not same(actual, case["expected"])):
            wrong.append((number, case.get("comment"), actual))
    assert ran > 80
    assert wrong == []


@pytest.mark.parametrize("pointer", ["/a/b", "", "/a~1b/~0"])
def test_pointers_survive_a_round_trip(pointer: str) -> None:
    from engine.document import format_pointer, parse_pointer

    assert format_pointer(parse_pointer(pointer)) == pointer
