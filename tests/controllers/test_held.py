"""Documents that wait in bounded room."""

from __future__ import annotations

from controllers.background.held import Held

SMALL = {"data": "x" * 80}


def test_what_does_not_fit_is_known_by_name_only() -> None:
    held = Held(200)
    for name in ("a", "b", "c"):
        held.put(name, SMALL)
    assert [held.get(name) for name in held] == [SMALL, SMALL, None]
    assert "c" in held


def test_what_goes_makes_room() -> None:
    held = Held(200)
    for name in ("a", "b"):
        held.put(name, SMALL)
    held.drop("a")
    held.put("b", None)
    for name in ("c", "d"):
        held.put(name, SMALL)
    assert (held.get("b"), held.get("c"), held.get("d")) == (None, SMALL, SMALL)
    held.clear()
    assert list(held) == []


def test_a_new_version_takes_the_room_of_the_old_one() -> None:
    held = Held(100)
    for number in range(5):
        held.put("a", {**SMALL, "n": number})
    assert held.get("a") == {**SMALL, "n": 4}
