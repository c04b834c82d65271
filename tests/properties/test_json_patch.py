"""diff and apply_patch are each other's inverse, and inputs stay as they were."""

import copy
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from engine.document import apply_patch, diff, same

SCALARS = st.none() | st.booleans() | st.integers(-3, 3) | st.sampled_from(["", "a", "b/c", "~"])
DOCUMENTS = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(["a", "b", "c/d", "~e"]), inner, max_size=4),
    max_leaves=12,
)


@given(DOCUMENTS, DOCUMENTS)
def test_applying_the_difference_gives_the_second_document(before: Any, after: Any) -> None:
    kept = copy.deepcopy(before), copy.deepcopy(after)
    assert same(apply_patch(before, diff(before, after)), after)
    assert same(before, kept[0])
    assert same(after, kept[1])


@given(DOCUMENTS)
def test_equal_documents_differ_in_nothing(document: Any) -> None:
    assert diff(document, copy.deepcopy(document)) == []
