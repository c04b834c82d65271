"""In which order keys are worked on."""

from __future__ import annotations

import asyncio

from controllers.background.queue import IN_A_ROW, Queue


async def worked(steps: list[tuple[str, str]], *, workers: int = 3) -> list[str]:
    done: list[str] = []

    async def work(key: str) -> float | None:
        done.append(f"+{key}")
        await asyncio.sleep(0.01)
        done.append(f"-{key}")
        return None

    queue = Queue(work)
    for key, subject in steps:
        queue.put(key, subject)
    task = asyncio.create_task(queue.run(workers))
    while len(queue):
        await asyncio.sleep(0.005)
    task.cancel()
    return done


def test_one_subject_is_worked_on_in_order_and_a_key_waits_once() -> None:
    done = asyncio.run(worked([("a", "s"), ("b", "s"), ("a", "s")]))
    assert done == ["+a", "-a", "+b", "-b"]


def test_subjects_are_worked_on_side_by_side() -> None:
    assert asyncio.run(worked([("a", "s"), ("b", "t")]))[:2] == ["+a", "+b"]


def test_what_waits_of_one_subject_is_worked_on_in_a_row_and_others_have_their_turn() -> None:
    few = asyncio.run(worked([("a1", "s"), ("b", "t"), ("a2", "s")], workers=1))
    assert [step for step in few if step.startswith("+")] == ["+a1", "+a2", "+b"]
    many = [(f"a{number}", "s") for number in range(IN_A_ROW + 3)]
    done = asyncio.run(worked([*many, ("b", "t")], workers=1))
    assert [step for step in done if step.startswith("+")].index("+b") == IN_A_ROW


def test_a_key_that_comes_while_it_is_worked_on_is_worked_on_again() -> None:
    async def scenario() -> int:
        count = 0

        async def work(key: str) -> float | None:
            nonlocal count
            count += 1
            if count == 1:
                queue.put("a", "s")
            await asyncio.sleep(0)
            return None

        queue = Queue(work)
        queue.put("a", "s")
        task = asyncio.create_task(queue.run(1))
        await asyncio.sleep(0.05)
        task.cancel()
        return count

    assert asyncio.run(scenario()) == 2


def test_what_waits_for_another_try_is_hurried() -> None:
    async def scenario() -> int:
        count = 0

        async def work(key: str) -> float | None:
            nonlocal count
            count += 1
            return 60.0 if count == 1 else None

        queue = Queue(work)
        queue.put("a", "s")
        task = asyncio.create_task(queue.run(1))
        await asyncio.sleep(0.02)
        assert count == 1
        assert len(queue) == 1
        queue.hurry()
        await asyncio.sleep(0.02)
        task.cancel()
        return count

    assert asyncio.run(scenario()) == 2
