"""The background operator on a real API server: what it generates and changes."""

from __future__ import annotations

import time

import pytest

from deploy.local.api import Api
from tests.cluster.calls import CPOL, config_map, until
from tests.cluster.generating import UPDATES, Apply, background_policy, data, generating, patch

pytestmark = pytest.mark.cluster


def test_the_life_of_a_synchronized_downstream(api: Api, apply: Apply, maps: str) -> None:
    apply(generating("life"))
    api.ask(maps, method="POST", body=config_map("life-in", a="1"))
    made = f"{maps}/life-made-life-in"
    until(lambda: data(api, made) == {"from": "1"})
    patch(api, made, {"data": {"from": "edited", "more": "x"}})
    until(lambda: data(api, made) == {"from": "1"})
    before = api.ask(made)["metadata"]["uid"]
    api.ask(made, method="DELETE")
    until(lambda: data(api, made) == {"from": "1"} and api.ask(made)["metadata"]["uid"] != before)
    patch(api, f"{maps}/life-in", {"data": {"a": "2"}})
    until(lambda: data(api, made) == {"from": "2"})
    api.ask(f"{maps}/life-in", method="DELETE")
    until(lambda: data(api, made) is None)


def test_a_downstream_that_is_not_synchronized_is_left_alone(api: Api, apply: Apply, maps: str) -> None:
    apply(generating("once", synchronize=False))
    api.ask(maps, method="POST", body=config_map("once-in", a="1"))
    made = f"{maps}/once-made-once-in"
    until(lambda: data(api, made) == {"from": "1"})
    patch(api, made, {"data": {"from": "edited"}})
    patch(api, f"{maps}/once-in", {"data": {"a": "2"}})
    api.ask(f"{maps}/once-in", method="DELETE")
    until(lambda: not api.ask(UPDATES)["items"])
    assert data(api, made) == {"from": "edited"}


def test_what_needs_the_user_is_put_back_as_it_was(api: Api, apply: Apply, maps: str) -> None:
    apply(generating("asker", data={"data": {"by": "{{request.userInfo.username}}"}}))
    api.ask(maps, method="POST", body=config_map("asker-in", a="1"))
    made = f"{maps}/asker-made-asker-in"
    until(lambda: data(api, made))
    by = data(api, made)
    patch(api, made, {"data": {"by": "somebody else"}})
    until(lambda: data(api, made) == by)
    api.ask(made, method="DELETE")
    until(lambda: data(api, made) == by)


def test_a_changed_rule_changes_what_it_made_and_a_deleted_policy_takes_it_away(api: Api, apply: Apply, maps: str) -> None:
    document = generating("changing")
    apply(document)
    api.ask(maps, method="POST", body=config_map("changing-in", a="1"))
    made = f"{maps}/changing-made-changing-in"
    until(lambda: data(api, made) == {"from": "1"})
    stored = api.ask(f"{CPOL}/changing")
    stored["spec"]["rules"][0]["generate"]["data"] = {"data": {"new": "{{request.object.data.a}}"}}
    api.ask(f"{CPOL}/changing", method="PUT", body=stored)
    until(lambda: data(api, made) == {"new": "1"})
    api.ask(f"{CPOL}/changing", method="DELETE")
    until(lambda: data(api, made) is None)


def test_existing_objects_are_generated_for_and_changed(api: Api, apply: Apply, maps: str) -> None:
    for number in range(3):
        api.ask(maps, method="POST", body=config_map(f"existing-in-{number}", a=str(number)))
    apply(generating("existing", generateExisting=True))
    until(lambda: [data(api, f"{maps}/existing-made-existing-in-{n}") for n in range(3)] == [{"from": str(n)} for n in range(3)])
    target = {"apiVersion": "v1", "kind": "ConfigMap", "namespace": maps.split("/")[4], "name": "existing-made-*"}
    mutate = {
        "mutateExistingOnPolicyUpdate": True,
        "targets": [target],
        "patchStrategicMerge": {"metadata": {"labels": {"seen": "yes"}}},
    }
    apply(background_policy("existing-labels", "existing", {"mutate": mutate}))
    made = [f"{maps}/existing-made-existing-in-{number}" for number in range(3)]
    until(lambda: all(api.ask(path)["metadata"]["labels"].get("seen") == "yes" for path in made))


def test_a_rule_that_triggers_itself_ends(api: Api, apply: Apply, maps: str) -> None:
    apply(generating("self", name="self-in-{{request.object.metadata.name}}", data={"data": {"a": "x"}}))
    api.ask(maps, method="POST", body=config_map("self-in", a="1"))
    until(lambda: data(api, f"{maps}/self-in-self-in"))
    time.sleep(1.5)
    names = {item["metadata"]["name"] for item in api.ask(maps)["items"]} - {"kube-root-ca.crt"}
    assert names == {"self-in", "self-in-self-in"}
