"""Desired state: what happened while no replica worked, or before anybody could hear of it, is made up for."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from deploy.local.api import Api
from deploy.local.operators import Operators, Running
from tests.cluster.calls import CPOL, Document, config_map, ready, until
from tests.cluster.generating import UPDATES, Apply, background_policy, data, generating, patch
from tests.conftest import EXCEPTIONS

pytestmark = pytest.mark.cluster
LEDGER = "/api/v1/namespaces/kyverno/configmaps/pyvern-background"


@contextmanager
def downtime(operators: Operators) -> Iterator[None]:
    """No replica of the background controller runs."""
    operators.stop("background")
    try:
        yield
    finally:
        operators.start("background")


@contextmanager
def deafness(operators: Operators, admission: Running) -> Iterator[None]:
    """Nobody answers the webhooks, and policies that may be ignored are."""
    operators.stop("admission")
    try:
        yield
    finally:
        operators.start("admission", flags=EXCEPTIONS, again=admission)  # other tests know its ports


def remembered(api: Api, name: str) -> str:
    """What the operator keeps of a policy, empty before it was worked off."""
    kept = (api.find(LEDGER) or {}).get("data") or {}
    return next((text for text in kept.values() if f'"policy":"{name}"' in text), "")


def ignoring(document: Document) -> Document:
    return {**document, "spec": {**document["spec"], "failurePolicy": "Ignore"}}


def label(name: str, trigger: str, maps: str, value: str) -> Document:
    """A policy that labels ConfigMap `name`-target of the namespace, on policy changes too."""
    target = {"apiVersion": "v1", "kind": "ConfigMap", "namespace": maps.split("/")[4], "name": f"{name}-target"}
    patch = {"metadata": {"labels": {"seen": value}}}
    mutate = {"mutateExistingOnPolicyUpdate": True, "targets": [target], "patchStrategicMerge": patch}
    return background_policy(name, trigger, {"mutate": mutate})


def labels(api: Api, path: str) -> Document:
    return api.ask(path)["metadata"].get("labels") or {}


def test_the_downstreams_of_a_policy_that_was_deleted_meanwhile_go(
    api: Api, apply: Apply, maps: str, operators: Operators
) -> None:
    apply(generating("gone"))
    apply(generating("orphan", orphanDownstreamOnPolicyDelete=True))
    apply(generating("kept", synchronize=False))
    for name in ("gone", "orphan", "kept"):
        api.ask(maps, method="POST", body=config_map(f"{name}-in", a="1"))
        until(lambda name=name: data(api, f"{maps}/{name}-made-{name}-in"))
    until(lambda: "gone" in str(api.ask(LEDGER)["data"]))
    with downtime(operators):
        for name in ("gone", "orphan", "kept"):
            api.ask(f"{CPOL}/{name}", method="DELETE")
    until(lambda: data(api, f"{maps}/gone-made-gone-in") is None, timeout=30)
    until(lambda: "generate.kyverno.io/policy-name" not in labels(api, f"{maps}/orphan-made-orphan-in"))
    assert "generate.kyverno.io/policy-name" in labels(api, f"{maps}/kept-made-kept-in")
    until(lambda: "gone" not in str(api.ask(LEDGER).get("data")))


def test_a_policy_that_changed_meanwhile_reaches_what_exists(api: Api, apply: Apply, maps: str, operators: Operators) -> None:
    api.ask(maps, method="POST", body=config_map("existing-in", a="1"))
    api.ask(maps, method="POST", body=config_map("existing-target", a="1"))
    apply(label("existing", "existing", maps, "once"))
    apply(generating("rendered"))
    api.ask(maps, method="POST", body=config_map("rendered-in", a="1"))
    until(lambda: labels(api, f"{maps}/existing-target").get("seen") == "once")
    until(lambda: data(api, f"{maps}/rendered-made-rendered-in") == {"from": "1"})
    patch(api, f"{maps}/existing-target", {"metadata": {"labels": {"seen": "edited"}}})
    with downtime(operators):
        before = {name: remembered(api, name) for name in ("existing", "rendered")}
        stored = api.ask(f"{CPOL}/existing")
        stored["spec"]["rules"][0]["mutate"]["patchStrategicMerge"] = {"metadata": {"labels": {"again": "yes"}}}
        api.ask(f"{CPOL}/existing", method="PUT", body=stored)
        stored = api.ask(f"{CPOL}/rendered")
        stored["spec"]["rules"][0]["generate"]["data"] = {"data": {"new": "{{request.object.data.a}}"}}
        api.ask(f"{CPOL}/rendered", method="PUT", body=stored)
    until(lambda: labels(api, f"{maps}/existing-target").get("again") == "yes", timeout=30)
    until(lambda: data(api, f"{maps}/rendered-made-rendered-in") == {"new": "1"})
    assert labels(api, f"{maps}/existing-target")["seen"] == "edited"
    until(lambda: all(remembered(api, name) != text for name, text in before.items()))  # until then a change is not worked off
    with downtime(operators):
        patch(api, f"{maps}/existing-target", {"metadata": {"labels": {"again": "edited"}}})
    until(lambda: not api.ask(UPDATES)["items"])
    until(lambda: data(api, f"{maps}/rendered-made-rendered-in") == {"new": "1"})
    assert labels(api, f"{maps}/existing-target")["again"] == "edited", "a restart is no change of the policy"


def test_what_nobody_heard_of_is_repaired_in_place(
    api: Api, apply: Apply, maps: str, operators: Operators, admission: Running
) -> None:
    apply(ignoring(generating("deaf")))
    for number in range(3):
        api.ask(maps, method="POST", body=config_map(f"deaf-in-{number}", a="1"))
    made = [f"{maps}/deaf-made-deaf-in-{number}" for number in range(4)]
    until(lambda: all(data(api, path) for path in made[:3]))
    uid = api.ask(made[0])["metadata"]["uid"]
    with downtime(operators), deafness(operators, admission):
        patch(api, made[0], {"data": {"from": "edited"}})
        api.ask(made[1], method="DELETE")
        api.ask(f"{maps}/deaf-in-2", method="DELETE")
        api.ask(maps, method="POST", body=config_map("deaf-in-3", a="3"))
        patch(api, f"{maps}/deaf-in-0", {"data": {"a": "2"}})
    wanted: list[Any] = [{"from": "2"}, {"from": "1"}, None, {"from": "3"}]
    until(lambda: [data(api, path) for path in made] == wanted, timeout=40)
    assert api.ask(made[0])["metadata"]["uid"] == uid
    assert not api.ask(UPDATES)["items"]


def test_what_was_there_before_the_policy_is_left_alone(api: Api, apply: Apply, maps: str, operators: Operators) -> None:
    api.ask(maps, method="POST", body=config_map("older-in-1", a="1"))
    apply(generating("older"))
    api.ask(maps, method="POST", body=config_map("older-in-2", a="1"))
    until(lambda: data(api, f"{maps}/older-made-older-in-2"))
    with downtime(operators):
        api.ask(f"{maps}/older-made-older-in-2", method="DELETE")
    until(lambda: data(api, f"{maps}/older-made-older-in-2"), timeout=30)
    until(lambda: not api.ask(UPDATES)["items"])
    assert data(api, f"{maps}/older-made-older-in-1") is None


def test_a_trigger_that_is_faster_than_the_webhook_is_not_forgotten(api: Api, maps: str) -> None:
    api.ask(CPOL, method="POST", body=generating("fast"))
    api.ask(maps, method="POST", body=config_map("fast-in", a="1"))
    try:
        until(lambda: data(api, f"{maps}/fast-made-fast-in") == {"from": "1"}, timeout=20)
        until(lambda: ready(api.ask(f"{CPOL}/fast")))
    finally:
        api.ask(f"{CPOL}/fast", method="DELETE")


def test_a_policy_that_cannot_be_read_any_more_keeps_what_it_has_made(
    api: Api, apply: Apply, maps: str, operators: Operators, admission: Running
) -> None:
    for name in ("unread", "other"):
        apply(generating(name))
        api.ask(maps, method="POST", body=config_map(f"{name}-in", a="1"))
        until(lambda name=name: data(api, f"{maps}/{name}-made-{name}-in"))
    until(lambda: "unread" in str(api.ask(LEDGER)["data"]))
    with downtime(operators), deafness(operators, admission):
        stored = api.ask(f"{CPOL}/unread")
        selector = {"matchExpressions": [{"key": "a", "operator": "Nonsense"}]}
        stored["spec"]["rules"][0]["match"]["any"][0]["resources"]["selector"] = selector
        api.ask(f"{CPOL}/unread", method="PUT", body=stored)
        api.ask(f"{CPOL}/other", method="DELETE")
    until(lambda: data(api, f"{maps}/other-made-other-in") is None, timeout=30)
    until(lambda: "other" not in str(api.ask(LEDGER).get("data")) and not api.ask(UPDATES)["items"])
    assert data(api, f"{maps}/unread-made-unread-in") == {"from": "1"}
    assert "unread" in str(api.ask(LEDGER)["data"])


def test_a_ledger_that_somebody_deletes_is_written_anew_as_a_whole(api: Api, apply: Apply, maps: str) -> None:
    apply(generating("ledger-a"))
    until(lambda: "ledger-a" in str(api.find(LEDGER)))
    api.ask(LEDGER, method="DELETE")
    apply(generating("ledger-b"))
    until(lambda: "ledger-b" in str(api.find(LEDGER)))
    assert "ledger-a" in str(api.ask(LEDGER)["data"])
