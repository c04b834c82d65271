"""Collections in memory: what they answer after lists and changes, and what they weigh."""

from __future__ import annotations

import gc
from typing import Any

import orjson
import pytest

from controllers.cluster.client import Client
from controllers.cluster.collection import Budget, Collection, TooBig, lean, listed, plain
from controllers.cluster.credentials import Credentials
from controllers.cluster.watch import Changed, Page, Target
from engine import Held

CLIENT = Client(Credentials(server="http://127.0.0.1:1"))


def thing(name: str, namespace: str = "", *, version: str = "1", **more: Any) -> dict[str, Any]:
    metadata = {"name": name, "resourceVersion": version, **({"namespace": namespace} if namespace else {})}
    return {"apiVersion": "v1", "kind": "Thing", "metadata": metadata, **more}


def collection(*, budget: Budget | None = None, typed: bool = True, shape: Any = plain) -> Collection:
    return Collection(CLIENT, Target("/api/v1/things"), shape=shape, typed=typed, budget=budget)


def names(kept: Collection, namespace: str = "") -> list[str]:
    return [item["metadata"]["name"] for item in kept.held(namespace).value]


def test_objects_come_in_the_order_of_the_api_server() -> None:
    kept = collection()
    kept.handle(Page((thing("b", "n"), thing("a", "n")), True, False, "5"))
    assert not kept.synced.is_set()
    kept.handle(Page((thing("z", "n-1"), thing("y", "m")), False, True, "5"))
    assert kept.synced.is_set()
    assert names(kept) == ["y", "z", "a", "b"]
    assert names(kept, "n") == ["a", "b"]
    assert names(kept, "nowhere") == []


def test_changes_are_seen_in_their_namespace_and_in_all() -> None:
    kept = collection()
    kept.handle(Page((thing("a", "n"), thing("x", "m")), True, True, "5"))
    assert (names(kept), names(kept, "n"), names(kept, "m")) == (["x", "a"], ["a"], ["x"])
    other = kept.held("m")
    kept.handle(Changed("ADDED", thing("b", "n", version="6")))
    kept.handle(Changed("DELETED", thing("a", "n", version="7")))
    kept._made.clear()
    assert (names(kept), names(kept, "n")) == (["x", "b"], ["b"])
    kept.handle(Changed("DELETED", thing("x", "m", version="8")))
    kept.handle(Changed("ADDED", thing("first", "l", version="9")))
    kept._made.clear()
    assert names(kept) == ["first", "b"]
    assert [item["metadata"]["name"] for item in other.value] == ["x"], "what was given out stays as it was"


def test_an_answer_is_the_same_until_something_changes() -> None:
    kept = collection()
    kept.handle(Page((thing("a", "n"), thing("x", "m")), True, True, "5"))
    before = kept.held("m")
    assert kept.held("m") is before
    kept.handle(Changed("MODIFIED", thing("a", "n", version="6")))
    assert kept.held("m") is before


def test_a_list_drops_what_vanished_and_keeps_what_is_as_it_was() -> None:
    kept = collection()
    kept.handle(Page((thing("a"), thing("b")), True, True, "5"))
    first = kept.held().value[0]
    kept.handle(Page((thing("a"),), True, True, "9"))
    kept._made.clear()
    assert names(kept) == ["a"]
    assert kept.held().value[0] is first


def test_equal_parts_are_one() -> None:
    role = {"kind": "ClusterRole", "name": "view"}
    kept = collection()
    kept.handle(Page((thing("a", roleRef=dict(role)), thing("b", roleRef=dict(role))), True, True, "5"))
    one, two = kept.held().value
    assert one["roleRef"] == role
    assert one["roleRef"] is two["roleRef"]


def test_what_a_change_leaves_as_it_was_stays_one() -> None:
    kept = collection()
    kept.handle(Page((thing("a", spec={"n": [1]}, data={"x": 1}),), True, True, "5"))
    before = kept.held().value[0]
    kept.handle(Changed("MODIFIED", thing("a", version="6", spec={"n": [1]}, data={"x": True})))
    kept._made.clear()
    after = kept.held().value[0]
    assert after["spec"] is before["spec"]
    assert (after["data"]["x"], after["metadata"]["resourceVersion"]) == (True, "6")
    assert after["data"]["x"] is True
    assert before["data"]["x"] is not True


def test_an_answer_without_managed_fields() -> None:
    item = {"metadata": {"name": "a", "managedFields": [1]}, "spec": {"n": 1}}
    assert lean({"items": [item, 7], "metadata": {}}) == {
        "items": [{"metadata": {"name": "a"}, "spec": {"n": 1}}, 7],
        "metadata": {},
    }
    assert lean({"metadata": {"managedFields": []}, "x": 1}) == {"metadata": {}, "x": 1}
    assert lean([{"metadata": 1}]) == [{"metadata": 1}]


@pytest.mark.parametrize(("named", "fields"), [(False, {"metadata"}), (True, {"apiVersion", "kind", "metadata"})])
def test_the_form_of_a_get(named: bool, fields: set[str]) -> None:
    kept = collection(typed=False, shape=listed("Thing", "v1"))
    kept.handle(Page((thing("a"),), True, True, "5", named))
    kept.handle(Changed("ADDED", thing("b", version="6")))
    answer = kept.held().value
    assert (answer["kind"], answer["apiVersion"], answer["metadata"]) == ("ThingList", "v1", {"resourceVersion": "6"})
    assert [set(item) for item in answer["items"]] == [fields, fields]


def test_what_is_too_big_is_not_kept_and_weight_follows_changes() -> None:
    budget = Budget(400)
    kept = collection(budget=budget)
    kept.handle(Page((thing("a", text="x" * 100),), True, True, "5"))
    weight = budget.used
    kept.handle(Changed("ADDED", thing("b", version="6")))
    kept.handle(Changed("DELETED", thing("b", version="7")))
    assert budget.used == weight
    with pytest.raises(TooBig):
        kept.handle(Changed("MODIFIED", thing("a", version="8", text="x" * 400)))


def test_objects_that_are_nested_deeply_are_kept_like_others() -> None:
    deep = orjson.loads(b"[" * 900 + b"]" * 900)
    budget = Budget(10_000_000)
    kept = collection(budget=budget)
    kept.handle(Page((thing("a", spec=deep),), True, True, "5"))
    kept.handle(Changed("MODIFIED", thing("a", version="6", spec=deep)))
    kept.handle(Changed("ADDED", thing("b", version="7", spec=deep)))
    kept._made.clear()
    assert names(kept) == ["a", "b"]
    assert budget.used > 2_000_000
    kept.handle(Changed("DELETED", thing("a", version="8", spec=deep)))
    kept.handle(Changed("DELETED", thing("b", version="9", spec=deep)))
    assert budget.used == 0


def test_namespaces_that_are_gone_leave_nothing_behind() -> None:
    kept = collection()
    kept.handle(Page((thing("x", "m"),), True, True, "5"))
    kept.handle(Changed("ADDED", thing("a", "short", version="6")))
    assert names(kept, "short") == ["a"]
    kept.handle(Changed("DELETED", thing("a", "short", version="7")))
    answers = [one for one in gc.get_objects() if isinstance(one, Held)]
    assert not [one for one in answers if isinstance(one.value, list) and "short" in str(one.value)]
    assert names(kept, "short") == []
