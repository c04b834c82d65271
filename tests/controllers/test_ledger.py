"""What is remembered of policies over a restart."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import orjson
import pytest

from controllers.background.ledger import Seen, changed, read, seen
from engine import compile_policy

Document = dict[str, Any]
NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
DATA = {"apiVersion": "v1", "kind": "Secret", "name": "made", "namespace": "{{request.object.metadata.namespace}}", "data": {}}
CLONE = {"apiVersion": "v1", "kind": "Secret", "name": "made", "namespace": "blue", "clone": {"name": "s", "namespace": "red"}}


def policy(generate: Document, *, generation: int = 1, **metadata: Any) -> Any:
    about = {"name": "p", "uid": "u", "resourceVersion": "7", "creationTimestamp": "2026-01-01T00:00:00Z", **metadata}
    match = {"any": [{"resources": {"kinds": ["ConfigMap"]}}]}
    return compile_policy(
        {
            "apiVersion": "kyverno.io/v1",
            "kind": "ClusterPolicy",
            "metadata": {**about, "generation": generation},
            "spec": {"background": False, "rules": [{"name": "r", "match": match, "generate": generate}]},
        }
    )


def remembered(generate: Document, **metadata: Any) -> Seen:
    found = seen(policy(generate, **metadata), now=NOW)
    assert found is not None
    return found


def stored(created: str, version: str) -> Document:
    return {"metadata": {"creationTimestamp": created, "resourceVersion": version}}


@pytest.mark.parametrize(
    ("generate", "end", "kinds"),
    [
        ({**DATA, "synchronize": True}, "delete", (("v1", "Secret"),)),
        ({**DATA, "synchronize": True, "orphanDownstreamOnPolicyDelete": True}, "unlabel", (("v1", "Secret"),)),
        ({**CLONE, "synchronize": True}, "keep", (("v1", "Secret"),)),
        (DATA, "keep", ()),
    ],
)
def test_a_rule_that_is_gone_is_still_known(generate: Document, end: str, kinds: tuple[Any, ...]) -> None:
    text = orjson.dumps(remembered(generate).document("p")).decode()
    key, again = read(text)
    assert (key, again) == ("p", remembered(generate))
    assert (again.rules["r"].end, again.rules["r"].kinds) == (end, kinds)


def test_labels_make_no_other_policy_and_content_does() -> None:
    before = remembered(DATA)
    assert before.same(remembered(DATA, labels={"a": "b"}, resourceVersion="9"))
    assert not before.same(remembered({**DATA, "synchronize": True}))
    assert not before.same(remembered(DATA, uid="other"))
    (rule,) = policy({**DATA, "synchronize": True}).rules
    assert changed(before.rules["r"], rule)
    (rule,) = policy(DATA).rules
    assert not changed(before.rules["r"], rule)


def test_a_policy_without_work_in_the_background_is_not_remembered() -> None:
    document = policy(DATA).document
    rule = {**document["spec"]["rules"][0], "validate": {"message": "no", "pattern": {"metadata": {"name": "x"}}}}
    del rule["generate"]
    assert seen(compile_policy({**document, "spec": {"rules": [rule]}}), now=NOW) is None


def test_what_was_created_later_is_told_by_time_and_within_a_second_by_version() -> None:
    new = remembered(DATA)
    assert new.precedes(stored("2026-01-01T00:00:01Z", "3"))
    assert not new.precedes(stored("2025-12-31T23:59:59Z", "9"))
    assert new.precedes(stored("2026-01-01T00:00:00Z", "8"))
    assert not new.precedes(stored("2026-01-01T00:00:00Z", "6"))


def test_a_changed_policy_counts_from_when_its_change_was_seen() -> None:
    edited = remembered(DATA, generation=2)
    assert not edited.precedes(stored("2026-01-01T12:00:00Z", "8"))
    assert edited.precedes(stored("2026-01-02T03:04:06Z", "8"))


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"policy": "p"}', '{"rules": {"r": 1}}'])
def test_nonsense_is_no_memory(text: str) -> None:
    with pytest.raises((ValueError, KeyError, TypeError)):
        read(text)
