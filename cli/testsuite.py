"""One test: the policies are asked about every object, the rows are compared with what they say (cli-format.md 6)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from cli.evaluation import Evaluator, World
from cli.matching import Answers, Line, Matcher, Row
from cli.testfile import TestFile
from cli.testworld import Say, set_up
from engine import Object


def run(test: TestFile, say: Say, wanted: Callable[[Row], Row | None], *, registry: bool = False) -> list[Line]:
    """Runs one test and gives its lines; `say` prints progress, `wanted` picks (and may narrow) rows.

    Raises `InputError` for a test that cannot be run.
    """
    rows = [row for row in map(wanted, test.content.get("results") or ()) if row is not None]
    world, objects, invalid, load = set_up(test, rows, say, registry=registry)
    say(
        f"  Applying {_plural(len(world.policies), 'policy', 'policies')} to {_plural(len(objects), 'resource', 'resources')} "
        f"with {_plural(len(world.exceptions), 'exception', 'exceptions')} ..."
    )
    asked = {operation: _asked(replace(world, operation=operation), objects) for operation in _operations(rows)}
    say("  Checking results ...")
    matcher = Matcher(load, invalid)
    return [line for row in rows for line in matcher.lines(row, asked[row.get("operation") or ""])]


def _asked(world: World, objects: Sequence[Object]) -> Answers:
    evaluator = Evaluator(world)
    return Answers(objects, [answer for object_ in objects for answer in evaluator(object_)])


def _operations(rows: Sequence[Row]) -> list[str]:
    return list(dict.fromkeys(row.get("operation") or "" for row in rows))


def _plural(number: int, one: str, many: str) -> str:
    return f"{number} {one if number == 1 else many}"
