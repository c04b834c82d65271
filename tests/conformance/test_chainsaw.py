"""A sample of Kyverno's cluster tests, one an area; `make conformance` runs them all."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.local.control_plane import ControlPlane
from tests.conformance.chainsaw import (
    STANDARD,
    Outcome,
    differences,
    floor,
    folder,
    fresh_cluster,
    known_gaps,
    profile_of,
    run,
)

PREFIX = "kyverno/test/conformance/chainsaw/"
PASSED, FAILED = Outcome("passed", "", []), Outcome("failed", "step 1", ["no"])


def sample() -> list[str]:
    """The first test of each of Kyverno's areas in the floor that wants nothing special."""
    chosen: dict[str, str] = {}
    for test in sorted(floor()):
        if test.startswith(PREFIX) and profile_of(test) is STANDARD:
            chosen.setdefault(test.removeprefix(PREFIX).split("/")[0], test)
    return sorted(chosen.values())


@pytest.fixture(scope="module")
def cluster(tools: dict[str, Path]) -> Iterator[ControlPlane]:
    if not (folder() / "chainsaw.py").is_file():
        pytest.skip(f"no conformance data in {folder()} (set CONFORMANCE_DIR)")
    with fresh_cluster() as plane:
        yield plane


@pytest.mark.cluster
@pytest.mark.parametrize("test", sample())
def test_sample(cluster: ControlPlane, test: str) -> None:
    cluster.kubectl("delete", "events", "--all", "-A")  # elsewhere each area has a cluster of its own; some count events
    outcomes = run(cluster, tests=[test], extra=["--timeout-scale", "2"], quiet=True)
    assert outcomes[test].status == "passed", (outcomes[test].where, *outcomes[test].problems)


@pytest.mark.parametrize(
    ("outcome", "must", "gaps", "complaint"),
    [
        (PASSED, {"t"}, {}, None),
        (FAILED, set(), {"t": "reason"}, None),
        (Outcome("skipped", "needs nodes", []), set(), {}, None),
        (FAILED, {"t"}, {}, "passed before"),
        (FAILED, set(), {}, "fails for no known reason"),
        (PASSED, set(), {"t": "reason"}, "is called a known gap"),
        (PASSED, set(), {}, "not in floor.txt"),
    ],
)
def test_every_outcome_is_expected_or_told(outcome: Outcome, must: set[str], gaps: dict[str, str], complaint: str | None) -> None:
    lines = differences({"t": outcome}, must=must, gaps=gaps)
    assert ([complaint in line for line in lines] if complaint else lines) == ([True] if complaint else [])


def test_no_test_must_pass_and_is_known_to_fail() -> None:
    assert floor() & set(known_gaps()) == set()
