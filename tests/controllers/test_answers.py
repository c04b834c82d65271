"""Answers shared by UpdateRequests: read once for those that wait, never older than who asks."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable

from controllers.background.answers import Answers
from engine import NO_FACTS, Facts, Lookup, LookupFailed

SOURCE = Lookup("resource", "default/registry", options=(("apiVersion", "v1"), ("kind", "Secret")))
CALL = Lookup("apiCall", "/api/v1/namespaces")


class Counting:
    """A world that answers with the number of the question; `failing` questions fail."""

    def __init__(self, *, failing: int = 0) -> None:
        self.asked = 0
        self.failing = failing

    def facts(self) -> Facts:
        return NO_FACTS

    async def learn(self, facts: Facts, lookups: Iterable[Lookup]) -> Facts:
        answers: dict[Lookup, object] = {}
        for lookup in lookups:
            self.asked += 1
            await asyncio.sleep(0)
            failed = self.asked <= self.failing
            answers[lookup] = LookupFailed(lookup, "not today") if failed else {"number": self.asked}
        return facts.plus(answers)


def test_requests_that_wait_share_one_answer() -> None:
    async def ask() -> list[Facts]:
        answers = Answers(world)
        known = time.monotonic()
        return await asyncio.gather(*(answers.since(known).learn(NO_FACTS, [SOURCE]) for _ in range(50)))

    world = Counting()
    assert {facts.answers[SOURCE]["number"] for facts in asyncio.run(ask())} == {1}


def test_an_answer_older_than_the_request_is_not_given() -> None:
    async def ask() -> list[int]:
        answers = Answers(world)
        seen = []
        for _ in range(3):
            facts = await answers.since(time.monotonic()).learn(NO_FACTS, [SOURCE])
            seen.append(facts.answers[SOURCE]["number"])
        return seen

    world = Counting()
    assert asyncio.run(ask()) == [1, 2, 3]


def test_what_is_forgotten_is_read_again() -> None:
    async def ask() -> list[int]:
        answers = Answers(world)
        since = answers.since(time.monotonic())
        first = await since.learn(NO_FACTS, [SOURCE])
        answers.forget()
        return [first.answers[SOURCE]["number"], (await since.learn(NO_FACTS, [SOURCE])).answers[SOURCE]["number"]]

    world = Counting()
    assert asyncio.run(ask()) == [1, 2]


def test_failures_and_api_calls_are_not_shared() -> None:
    async def ask() -> list[object]:
        since = Answers(world).since(time.monotonic())
        found = [(await since.learn(NO_FACTS, [SOURCE])).answers[SOURCE] for _ in range(2)]
        return found + [(await since.learn(NO_FACTS, [CALL])).answers[CALL] for _ in range(2)]

    world = Counting(failing=1)
    first, *others = asyncio.run(ask())
    assert isinstance(first, LookupFailed)
    assert others == [{"number": 2}, {"number": 3}, {"number": 4}]


def test_what_is_known_is_kept() -> None:
    async def ask() -> Facts:
        return await Answers(world).since(time.monotonic()).learn(NO_FACTS.plus({CALL: "held"}), [CALL, SOURCE])

    world = Counting()
    facts = asyncio.run(ask())
    assert (facts.answers[CALL], facts.answers[SOURCE]) == ("held", {"number": 1})
