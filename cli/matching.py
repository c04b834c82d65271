"""Expected rows of a test against what the policies said: one line for each pair (cli-format.md 6)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from cli.comparison import differences, expected_among, same, tidied
from cli.evaluation import Answer
from cli.outcome import status_of
from cli.resources import name_of, namespace_of
from engine import Effect, Object, Result, Status

Row = Mapping[str, Any]
RULE_KINDS = frozenset({"ClusterPolicy", "Policy"})
"""Policies whose rules have names that rows refer to."""
WITH_OBJECT = frozenset({Effect.MUTATE, Effect.MUTATE_EXISTING, Effect.VALIDATE})
"""Rules whose lines compare the object that the policy left."""
Problem = tuple[str, str]
"""Reason and details of a line that fails."""
MISSING: Problem = ("", "")
"""The expected object is not in the row's file: Kyverno prints no line then."""


class Key(NamedTuple):
    """How an object is called in a test."""

    api_version: str
    kind: str
    namespace: str
    name: str

    def __str__(self) -> str:
        return "/".join(self)


class Line(NamedTuple):
    """One line of the answer: `result` is Pass, Fail or Skip; `message` says more where something is to say."""

    policy: str
    rule: str
    resource: str
    result: str
    reason: str
    message: str = ""


class Answers:
    """What the policies of a test said, by object and policy, for one operation."""

    def __init__(self, objects: Sequence[Object], answers: Sequence[Answer]) -> None:
        self.keys = [key_of(object_) for object_ in objects]
        self.by_policy: dict[tuple[Key, str], list[Answer]] = {}
        self.of_target: dict[Key, list[tuple[Answer, Object]]] = {}
        for answer in answers:
            for target in answer.targets:
                self.of_target.setdefault(key_of(target), []).append((answer, target))
            self.by_policy.setdefault((key_of(answer.object), answer.policy.identity.name), []).append(answer)
        self.keys = list(dict.fromkeys([*self.keys, *self.of_target]))


def key_of(object_: Object) -> Key:
    return Key(str(object_.get("apiVersion") or ""), str(object_.get("kind") or ""), namespace_of(object_), name_of(object_))


class Matcher:
    """Compares the rows of one test. `load` reads the objects of a file that a row names."""

    def __init__(self, load: Callable[[str], Sequence[Object]], invalid: Sequence[str]) -> None:
        self._load = load
        self._invalid = frozenset(invalid)

    def lines(self, row: Row, answers: Answers) -> Iterator[Line]:
        """The lines of one row."""
        policy = str(row["policy"]).rpartition("/")[2]
        for key in keys_for(row, answers.keys):
            if key in answers.of_target:
                for answer, target in answers.of_target[key]:
                    yield from self._target(row, answer, target, key)
                continue
            found = answers.by_policy.get((key, policy), [])
            shown = str(row["policy"]), str(row.get("rule") or ""), str(key)
            if not found:
                invalid = policy in self._invalid
                yield Line(*shown, *(("Skip", "Invalid Policy") if invalid else ("Fail", "Not found")))
                continue
            lines: list[Line] = []
            dropped = False
            for answer in found:
                for result in answer.results:
                    if _concerns(row, answer, result):
                        made = list(self._judged(row, answer, result, key))
                        dropped = dropped or not made
                        lines += made
            if not lines and not dropped:
                lines.append(Line(*shown, "Skip", "Excluded"))
            yield from lines

    def _judged(self, row: Row, answer: Answer, result: Result, key: Key) -> Iterator[Line]:
        rule = result.rule.name if answer.policy.identity.kind in RULE_KINDS else ""
        if result.rule.effect is Effect.GENERATE and result.generated:
            for document in result.generated:
                problem = self._generated_problem(row, document)
                yield self._line(row, answer, result, rule, f"/{name_of(document)}", problem)
            return
        problem = self._patched_problem(row, answer.patched, key) if result.rule.effect in WITH_OBJECT else None
        if problem is not MISSING:
            yield self._line(row, answer, result, rule, str(key), problem)

    def _patched_problem(self, row: Row, actual: Object, key: Key) -> Problem | None:
        """What is wrong with a patched object, in the words of the table; `MISSING` where its line is left out."""
        file = row.get("patchedResources") or row.get("patchedResource")
        if not file:
            return None
        wanted = expected_among(self._load(file), actual)
        if wanted is None:
            return ("Resource error", f"{file} does not hold {key}") if row.get("failOnMissingResources") else MISSING
        if same(actual, wanted):
            return None
        return "Resource diff", "; ".join(differences(tidied(actual), tidied(wanted)))

    def _target(self, row: Row, answer: Answer, target: Object, key: Key) -> Iterator[Line]:
        """A target that some rule patched, whichever policy that was, against the row's patched objects."""
        results = [result for result in answer.results if result.rule.effect is Effect.MUTATE_EXISTING]
        problem = self._patched_problem(row, target, key)
        for result in results[:1]:
            if problem is not MISSING:
                yield self._line(row, answer, result, result.rule.name, str(key), problem)

    def _generated_problem(self, row: Row, document: Object) -> Problem | None:
        files = [*(row.get("generatedResources") or ()), *([row["generatedResource"]] if row.get("generatedResource") else [])]
        problem: Problem | None = None
        for file in files:
            wanted = expected_among(self._load(file), document)
            if wanted is not None and same(document, wanted):
                return None
            if wanted is None:
                problem = problem or ("Resource error", f"{file} does not hold {key_of(document)}")
            else:
                problem = "Resource diff", "; ".join(differences(tidied(document), tidied(wanted)))
        return problem

    def _line(self, row: Row, answer: Answer, result: Result, rule: str, resource: str, problem: Problem | None) -> Line:
        policy, wanted = str(row["policy"]), str(row.get("result") or "")
        if problem is not None:
            return Line(policy, rule, resource, "Fail", *problem)
        actual = status_of(answer.policy, result).value
        if actual != wanted:
            return Line(policy, rule, resource, "Fail", f"Want {wanted}, got {actual}", result.message)
        return Line(policy, rule, resource, "Skip" if wanted == Status.SKIP.value else "Pass", "Ok", result.message)


def _concerns(row: Row, answer: Answer, result: Result) -> bool:
    rule = row.get("rule")
    if not rule or answer.policy.identity.kind not in RULE_KINDS:
        return True
    return result.rule.name in (rule, f"autogen-{rule}", f"autogen-cronjob-{rule}")


def keys_for(row: Row, keys: Sequence[Key]) -> list[Key]:
    """The objects that a row speaks of; all of them where it names none that is there."""
    wanted = row.get("resources")
    if wanted is None and row.get("resource"):
        wanted = [row["resource"]]
    if wanted is None:
        return list(keys)
    found = [key for name in wanted for key in keys if _named(key, name)]
    for spec in row.get("resourceSpecs") or ():
        found += [key for key in keys if _specified(key, spec)]
    return list(dict.fromkeys(found)) or list(keys)


def _named(key: Key, name: str) -> bool:
    namespace, slash, last = name.rpartition("/")
    return key.name == last and (not slash or key.namespace == namespace.rpartition("/")[2])


def _specified(key: Key, spec: Mapping[str, str]) -> bool:
    group, version = spec.get("group") or "", spec.get("version") or ""
    return (
        key.api_version == (f"{group}/{version}" if group else version)
        and key.namespace == (spec.get("namespace") or "")
        and key.name == (spec.get("name") or "")
    )
