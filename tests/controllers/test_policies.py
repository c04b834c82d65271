"""The policies in force: what a list or a change of stored policies makes of the snapshot."""

from __future__ import annotations

from typing import Any

from controllers.cluster.policies import Entry, Policies
from controllers.cluster.watch import Changed, Listed

GOOD = {"deny": {}}
BROKEN = {"deny": {}, "message": "{{ a( }}"}


def document(name: str, validate: dict[str, Any], *, kinds: Any = ("Pod",), version: int = 1) -> dict[str, Any]:
    rule = {"name": "r", "match": {"any": [{"resources": {"kinds": list(kinds)}}]}, "validate": validate}
    return {
        "apiVersion": "kyverno.io/v1",
        "kind": "ClusterPolicy",
        "metadata": {"name": name, "uid": name, "generation": version},
        "spec": {"background": False, "rules": [rule]},
    }


class Followed:
    """Policies that are told of changes directly; `told` is what they told on."""

    def __init__(self, *documents: dict[str, Any]) -> None:
        self.told: list[tuple[str, str]] = []
        self.policies = Policies(self._changed)
        self.handle = self.policies.handler("ClusterPolicy")
        self.handle(Listed(documents))

    def _changed(self, entry: Entry, change: str) -> None:
        self.told.append((entry.document["metadata"]["name"], change))

    def change(self, document: dict[str, Any], type_: Any = "MODIFIED") -> None:
        self.handle(Changed(type_, document))

    def rules(self) -> dict[str, bool]:
        """Policy -> do its written rules work?"""
        return {p.identity.name: not any(rule.error for rule in p.rules) for p in self.policies.snapshot}

    def fault(self, name: str) -> str:
        return str(self.policies.entries["ClusterPolicy", "", name].error or "")


def test_a_list_replaces_what_was_known() -> None:
    followed = Followed(document("a", GOOD), document("b", GOOD))
    followed.handle(Listed((document("b", GOOD), document("c", GOOD))))
    assert followed.rules() == {"b": True, "c": True}
    assert followed.told == [("a", "create"), ("b", "create"), ("a", "delete"), ("c", "create")]


def test_a_status_write_compiles_nothing_anew() -> None:
    followed = Followed(document("a", GOOD))
    before = followed.policies.snapshot
    followed.change({**document("a", GOOD), "status": {"conditions": []}})
    assert followed.policies.snapshot is before


def test_a_stored_policy_with_a_faulty_rule_is_in_force_and_errs() -> None:
    followed = Followed(document("a", BROKEN))
    assert followed.rules() == {"a": False}
    assert followed.fault("a").startswith("spec.rules[0]")


def test_a_policy_that_no_longer_compiles_errs_as_it_would_after_a_restart() -> None:
    followed = Followed(document("a", GOOD))
    followed.change(document("a", BROKEN, version=2))
    assert followed.rules() == {"a": False}
    followed.change(document("a", GOOD, version=3))
    assert (followed.rules(), followed.fault("a")) == ({"a": True}, "")


def test_where_nobody_can_say_what_a_rule_matches_the_version_before_stays() -> None:
    followed = Followed(document("a", GOOD))
    followed.change(document("a", GOOD, kinds=(1,), version=2))
    assert followed.rules() == {"a": True}
    assert followed.fault("a").startswith("spec.rules[0].match")
    assert Followed(document("a", GOOD, kinds=(1,))).rules() == {}
