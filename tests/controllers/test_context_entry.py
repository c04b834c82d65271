"""GlobalContextEntries: their specs and their statuses."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from controllers.cluster.context_entry import State, Unfit, interval, projections
from controllers.cluster.global_context import status

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
WAS = "2026-01-02T03:00:00Z"
CALLED = datetime(2026, 1, 2, 3, 0, 0, tzinfo=UTC).timestamp()


def condition(truth: str, message: str = "Ready", since: str = WAS) -> dict[str, str]:
    reason = "Succeeded" if truth == "True" else "Failed"
    return {"type": "Ready", "status": truth, "reason": reason, "message": message, "lastTransitionTime": since}


def test_nothing_is_said_before_anything_is_known() -> None:
    assert status(State(), {}, NOW) is None


def test_a_condition_is_dated_when_it_turns() -> None:
    held = {"ready": True, "conditions": [condition("True")]}
    assert status(State(True, "Ready"), held, NOW) == held
    turned = status(State(False, "gone"), held, NOW)
    assert turned == {"ready": False, "conditions": [condition("False", "gone", "2026-01-02T03:04:05Z")]}


@pytest.mark.parametrize(
    ("later", "told"), [(3, WAS), (60, "2026-01-02T03:01:00Z")], ids=["a refresh alone may wait", "and is told in the end"]
)
def test_refreshes(later: float, told: str) -> None:
    held = {"ready": True, "conditions": [condition("True")], "lastRefreshTime": WAS}
    found = status(State(True, "Ready", CALLED + later), held, NOW)
    assert found is not None
    assert found["lastRefreshTime"] == told


@pytest.mark.parametrize(("written", "seconds"), [(None, 600), ("90s", 90), ("1h", 3600), ("10ns", 1), ("1m30s", 90)])
def test_intervals(written: str | None, seconds: float) -> None:
    assert interval({"refreshInterval": written}) == seconds


@pytest.mark.parametrize(
    ("spec", "text"),
    [
        ({"projections": [{"name": "a", "jmesPath": "b"}, {"name": "c", "jmesPath": "["}]}, "spec.projections[1].jmesPath: "),
        ({"projections": [{"name": "a", "jmesPath": "no_such_function(@)"}]}, "spec.projections[0].jmesPath: "),
    ],
)
def test_projections_that_do_not_compile_are_named(spec: dict[str, Any], text: str) -> None:
    with pytest.raises(Unfit, match=text.replace("[", r"\[")):
        projections(spec)
