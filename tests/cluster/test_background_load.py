"""The background operator under load: every wanted downstream exists once, no UpdateRequest is left, memory is flat.

`make test` runs a sample of each; `make test-slow` all of it.
"""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from deploy.local.api import Api
from deploy.local.control_plane import ControlPlane
from deploy.local.operators import Operators
from tests.cluster.calls import Document, config_map, until
from tests.cluster.generating import MERGE, UPDATES, Apply, generating

pytestmark = pytest.mark.cluster
SETTINGS = "/api/v1/namespaces/kyverno/configmaps/kyverno"
GROWTH = 24
"""MB by which the process may be larger after the second burst than after the first: what is leaked grows with every one."""


def create(api: Api, maps: str, prefix: str, count: int, *, threads: int = 8) -> None:
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(lambda n: api.ask(maps, method="POST", body=config_map(f"{prefix}-{n}", a=str(n))), range(count)))


def made(api: Api, maps: str, name: str) -> dict[str, Document]:
    items = []
    token = ""
    while True:
        page = api.ask(f"{maps}?limit=500&continue={token}")
        items += page["items"]
        token = page["metadata"].get("continue") or ""
        if not token:
            return {
                item["metadata"]["name"]: item["data"] for item in items if item["metadata"]["name"].startswith(f"{name}-made-")
            }


def wanted(name: str, prefix: str, count: int) -> dict[str, Document]:
    return {f"{name}-made-{prefix}-{n}": {"from": str(n)} for n in range(count)}


def left(api: Api) -> int:
    return len(api.ask(f"{UPDATES}?limit=1")["items"])


def resident(pid: int) -> float:
    """Memory of a process in MB."""
    with open(f"/proc/{pid}/status", encoding="ascii") as file:
        return next(int(line.split()[1]) / 1024 for line in file if line.startswith("VmRSS"))


@pytest.mark.parametrize("count", [60, pytest.param(500, marks=pytest.mark.slow)])
def test_nothing_is_lost_when_the_operator_is_killed_again_and_again(
    api: Api, apply: Apply, maps: str, operators: Operators, control_plane: ControlPlane, count: int
) -> None:
    apply(generating("killed"))
    moments = random.Random(5)
    with ThreadPoolExecutor(1) as pool:
        creating = pool.submit(create, api, maps, "killed-in", count, threads=2)
        while not creating.done():
            time.sleep(moments.uniform(0.0, 1.5))
            pid = control_plane.processes.pid("background")
            assert pid is not None
            os.kill(pid, signal.SIGKILL)
            operators.stop("background")
            operators.start("background")
        creating.result()
    until(lambda: made(api, maps, "killed") == wanted("killed", "killed-in", count), timeout=90)
    until(lambda: not left(api), timeout=60)


@pytest.mark.parametrize("count", [250, pytest.param(5000, marks=pytest.mark.slow)])
def test_a_burst_is_worked_off_and_leaves_no_memory_behind(
    api: Api, apply: Apply, maps: str, control_plane: ControlPlane, count: int
) -> None:
    apply(generating("burst"))
    pid = control_plane.processes.pid("background")
    assert pid is not None
    sizes = []
    for turn in range(2):
        create(api, maps, f"burst-in-{turn}", count)
        expected = wanted("burst", f"burst-in-{turn}", count)
        until(lambda expected=expected: not left(api) and expected.items() <= made(api, maps, "burst").items(), timeout=900)
        sizes.append(resident(pid))
    assert len(made(api, maps, "burst")) == 2 * count
    assert sizes[1] - sizes[0] < GROWTH, sizes


@pytest.fixture
def threshold(api: Api) -> Iterator[int]:
    """At most so many UpdateRequests of one policy are stored."""
    before = api.ask(SETTINGS)["data"]
    count = 20
    api.ask(SETTINGS, method="PATCH", body={"data": {"updateRequestThreshold": str(count)}}, content_type=MERGE)
    time.sleep(1.0)
    yield count
    back = {"updateRequestThreshold": before.get("updateRequestThreshold")}
    api.ask(SETTINGS, method="PATCH", body={"data": back}, content_type=MERGE)


def test_what_is_too_much_for_the_threshold_waits(
    api: Api, apply: Apply, maps: str, operators: Operators, threshold: int
) -> None:
    apply(generating("many"))
    operators.stop("background")
    try:
        create(api, maps, "many-in", 60)
        until(lambda: len(api.ask(UPDATES)["items"]) >= threshold)
        time.sleep(3.0)
        assert len(api.ask(UPDATES)["items"]) <= threshold + 8, "as many more as are written side by side"
    finally:
        operators.start("background")
    until(lambda: made(api, maps, "many") == wanted("many", "many-in", 60), timeout=60)
    until(lambda: not left(api), timeout=30)
