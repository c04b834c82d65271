"""Prints the inputs of the golden file: documents and strategic merge patches for them.

Written pairs come first, then random ones around the lists of a Pod that merge, with and without their keys.
"""

from __future__ import annotations

import json
import random
import sys
from typing import Any

SEED = 20260802
RANDOM = 250
Json = Any

WIDGET: list[tuple[Json, Json]] = [
    ({"a": 1}, {"a": 2}),
    ({"a": 1, "b": 2}, {"a": None}),
    ({"a": "x"}, {"a": 2.5}),
    ({"a": "x"}, {"a": False}),
    ({"a": "5"}, {"a": 5}),
    ({"a": 5}, {"a": "5"}),
    ({"a": True}, {"a": "yes"}),
    ({"a": None}, {"a": {"x": 1}}),
    ({"a": None, "b": {"c": None}}, {"d": 1, "b": {"e": 1}}),
    ({"a": 1}, {"a": {"x": 1}}),
    ({"a": 1}, {"a": [1, {"x": "y"}]}),
    ({"a": [1]}, {"a": {"x": 1}}),
    ({"a": [1]}, {"a": "x"}),
    ({"a": {"b": 1}}, {"a": [1]}),
    ({"a": {"b": 1}}, {"a": "x"}),
    ({}, {"a": {}}),
    ({}, {"a": {"b": None}}),
    ({"a": {"b": 1}}, {"a": {"$patch": "replace", "c": 1}}),
    ({"a": {"b": 1}}, {"a": {"$patch": "delete"}}),
    ({"a": {"b": 1}}, {"a": {"$patch": "merge", "c": 1}}),
    ({"a": {"b": 1}}, {"a": {"$patch": "bogus"}}),
    ({}, {"a": {"$patch": "replace", "c": {"$patch": "delete"}, "d": 1}}),
    ({"l": [{"name": "a", "v": 1}]}, {"l": [{"name": "b", "v": None}]}),
    ({"l": [{"name": "a", "v": 1}]}, {"l": [{"name": "a", "$patch": "delete"}]}),
    ({"l": [1, 2]}, {"l": []}),
]
PODS: list[tuple[Json, Json]] = [
    ({"containers": [{"name": "a", "x": 1}, {"name": "b"}]}, {"containers": [{"name": "b", "y": 1}, {"name": "c"}]}),
    ({"containers": [{"name": "a"}]}, {"containers": []}),
    ({"containers": [{"name": "a"}, {"name": "b"}]}, {"containers": [{"image": "x"}]}),
    ({"containers": [{"name": "a"}, {"name": "b"}]}, {"containers": [{"name": "b", "y": 1}, {"image": "x"}, {"name": "c"}]}),
    ({"containers": [{"name": "a"}]}, {"containers": [{"name": "z", "$patch": "delete"}, {"name": "y"}]}),
    ({"containers": [{"name": "a"}, {"name": "b"}]}, {"containers": [{"name": "b", "$patch": "delete"}]}),
    ({"containers": [{"name": "a"}, {"name": "b"}]}, {"containers": [{"$patch": "replace"}, {"name": "z"}]}),
    ({"containers": [{"name": "a"}, {"name": "b"}]}, {"containers": [{"$patch": "delete"}]}),
    ({"containers": ["a"]}, {"containers": [{"name": "a"}]}),
    ({"containers": None}, {"containers": [{"name": "a", "x": None}]}),
    ({"containers": [{"name": "1"}]}, {"containers": [{"name": 1, "x": 1}]}),
    ({"volumes": [{"name": "v", "emptyDir": {}}]}, {"volumes": [{"name": "v", "hostPath": {"path": "/x"}}]}),
    ({"tolerations": [{"key": "k"}]}, {"tolerations": [{"key": "z"}]}),
    ({"hostAliases": [{"ip": "1.1.1.1"}]}, {"hostAliases": [{"ip": "2.2.2.2"}, {"ip": "1.1.1.1", "hostnames": ["h"]}]}),
]
SERVICES: list[tuple[Json, Json]] = [
    ({"ports": [{"port": 80, "protocol": "TCP", "x": 1}]}, {"ports": [{"port": 80, "y": 2}]}),
    ({"ports": [{"port": 80, "x": 1}]}, {"ports": [{"port": 80, "y": 2}]}),
    ({"ports": [{"port": 80, "x": 1}]}, {"ports": [{"port": 80, "protocol": "TCP", "y": 2}]}),
    (
        {"ports": [{"port": 80, "protocol": "TCP"}, {"port": 80, "protocol": "UDP"}]},
        {"ports": [{"port": 80, "protocol": "UDP", "y": 1}]},
    ),
    ({"ports": [{"port": 80, "protocol": "TCP"}]}, {"ports": [{"port": 81, "y": 1}, {"port": 82, "protocol": "UDP"}]}),
    ({"ports": [{"port": 80, "protocol": "TCP"}]}, {"ports": [{"protocol": "TCP", "y": 1}]}),
]
METADATA: list[tuple[str, Json, Json]] = [
    ("v1/Pod", {"finalizers": ["a", "b"]}, {"finalizers": ["c", "a"]}),
    ("example.com/v1/Widget", {"finalizers": ["a", "b"]}, {"finalizers": ["c", "a"]}),
    ("apps/v1/Deployment", {"ownerReferences": [{"uid": "u"}]}, {"ownerReferences": [{"uid": "v"}, {"uid": "u", "name": "n"}]}),
    ("batch/v1beta1/CronJob", {"finalizers": ["a"]}, {"finalizers": ["c"]}),
]


def main() -> None:
    examples = [_example("example.com/v1/Widget", {"spec": old}, {"spec": new}) for old, new in WIDGET]
    examples += [_example("v1/Pod", {"spec": old}, {"spec": new}) for old, new in PODS]
    examples += [_example("v1/Service", {"spec": old}, {"spec": new}) for old, new in SERVICES]
    examples += [_example(kind, {"metadata": old}, {"metadata": new}) for kind, old, new in METADATA]
    rng = random.Random(SEED)
    for _ in range(RANDOM):
        examples.append(_example("v1/Pod", {"spec": _pod(rng, patch=False)}, {"spec": _pod(rng, patch=True)}))
    json.dump(examples, sys.stdout, sort_keys=True)


def _example(gvk: str, document: Json, patch: Json) -> Json:
    version, _, kind = gvk.rpartition("/")
    return {"document": {"apiVersion": version, "kind": kind, **document}, "patch": patch}


def _pod(rng: random.Random, *, patch: bool) -> Json:
    pod: dict[str, Json] = {"a": _value(rng)} if rng.random() < 0.7 else {}
    if rng.random() < 0.8:
        pod["containers"] = _distinct([_container(rng, patch=patch) for _ in range(rng.randint(0, 3))])
    if rng.random() < 0.3:
        pod["volumes"] = _distinct([{"name": rng.choice("vw"), rng.choice(["e", "h"]): _value(rng)} for _ in range(2)])
    return pod


def _distinct(elements: list[Json]) -> list[Json]:
    return list({element["name"]: element for element in elements}.values())


def _container(rng: random.Random, *, patch: bool) -> Json:
    container: dict[str, Json] = {"name": rng.choice("abc")}
    if rng.random() < 0.5:
        container["image"] = None if patch and rng.random() < 0.1 else rng.choice("xyz")
    if rng.random() < 0.4:
        container["env"] = [{"name": name, "value": rng.choice("12")} for name in rng.sample("XYZ", rng.randint(0, 3))]
    if rng.random() < 0.4:
        container["ports"] = [_port(rng, number) for number in rng.sample([80, 81, 82], rng.randint(0, 2))]
    if patch and rng.random() < 0.1:
        container["$patch"] = rng.choice(["delete", "replace", "merge"])
    return container


def _port(rng: random.Random, number: int) -> Json:
    port: dict[str, Json] = {"containerPort": number}
    if rng.random() < 0.6:
        port["protocol"] = rng.choice(["TCP", "UDP"])
    if rng.random() < 0.5:
        port["name"] = rng.choice("pq")
    return port


def _value(rng: random.Random, depth: int = 0) -> Json:
    kind = rng.random()
    if depth > 2 or kind < 0.5:
        return rng.choice([1, 2, "x", "y", True, 2.5, None, "5"])
    if kind < 0.8:
        return {rng.choice("abc"): _value(rng, depth + 1) for _ in range(rng.randint(0, 3))}
    return [_value(rng, depth + 1) for _ in range(rng.randint(0, 2))]


if __name__ == "__main__":
    main()
