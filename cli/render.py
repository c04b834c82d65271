"""What `apply` prints: Kyverno's texts (cli-format.md 7)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from cli.evaluation import Answer
from cli.outcome import status_of
from cli.policies import InvalidDocument
from cli.resources import name_of, namespace_of
from cli.tables import coloured, drawn
from engine import Effect, Object, Status

DIVIDER = "-" * 70
KYVERNO_KINDS = frozenset({"ClusterPolicy", "Policy"})
"""Policies of rules; the others are counted and shown as one."""
NO_MESSAGE = "validation failed"


def subject_of(object_: Object) -> str:
    """`namespace/Kind/name`; the namespace is left empty for cluster-scoped objects."""
    return f"{namespace_of(object_)}/{object_.get('kind') or ''}/{name_of(object_)}"


def heading(rules: int, objects: int, exceptions: int = 0) -> str:
    text = f"\nApplying {rules} policy rule(s) to {objects} resource(s)"
    return f"{text} with {exceptions} exception(s)..." if exceptions else f"{text}..."


def invalid_policies(invalid: Sequence[InvalidDocument]) -> str:
    """The block that names policies which are left out, and why."""
    lines = [DIVIDER, "Invalid Policies:"]
    lines += [f"{number}. {name}: {error}" for number, (name, error) in enumerate(invalid, start=1)]
    return "\n".join([*lines, DIVIDER])


def applied_to(answer: Answer) -> str:
    """The line over a mutated or generated object."""
    return f"policy {answer.policy.identity.name} applied to {subject_of(answer.object)}:"


def patched_target(target: Object) -> str:
    """The line over an object that a rule with targets changed."""
    return f"patched targets: {subject_of(target)}:"


def failures(answer: Answer, *, audit_warn: bool = False) -> str:
    """The rules of one answer that failed; empty where none did."""
    failed = [result for result in answer.results if result.status in (Status.FAIL, Status.ERROR, Status.WARN)]
    failed = [result for result in failed if result.rule.effect in (Effect.VALIDATE, Effect.VERIFY_IMAGES, Effect.DELETE)]
    if not failed:
        return ""
    warned = audit_warn and not any(result.enforced for result in failed)
    verb = "failed as audit warning:" if warned else "failed:"
    lines = [f"policy {answer.policy.identity.key} -> resource {subject_of(answer.object)} {verb}"]
    lines += [f"{number} - {result.rule.name} {result.message or NO_MESSAGE}" for number, result in enumerate(failed, start=1)]
    return "\n".join(lines) + "\n"


def mutations(answers: Iterable[Answer]) -> str:
    """What became of mutate policies: one block, empty where there were none."""
    return _changes(answers, Effect.MUTATE, "Mutation", "Mutation has been applied successfully.", "mutate")


def generations(answers: Iterable[Answer]) -> str:
    """The same of generate policies."""
    return _changes(answers, Effect.GENERATE, "Generate", "Generation completed successfully.", "generate")


def _changes(answers: Iterable[Answer], effect: Effect, title: str, success: str, word: str) -> str:
    lines: list[str] = []
    for answer in answers:
        name, subject = answer.policy.identity.name, subject_of(answer.object)
        results = [result for result in answer.results if result.rule.effect is effect]
        for result in results:
            if result.status is Status.SKIP:
                lines.append(f"skipped {word} policy {name} -> resource {subject}")
            elif result.status in (Status.ERROR, Status.FAIL):
                lines.append(f"error while applying {word} policy {name} -> resource {subject}\nerror:  {result.message}")
        if any(result.status is Status.PASS for result in results):
            lines.append(success)
    return "\n".join([f"\n{title}:", *dict.fromkeys(lines), ""]) if lines else ""


def table(answers: Iterable[Answer], *, detailed: bool, audit_warn: bool, colours: bool) -> str:
    """`apply -t`: one line per result."""
    header = ["ID", "POLICY", "RULE", "RESOURCE", "RESULT", "REASON", *(["MESSAGE"] if detailed else [])]
    rows: list[list[str]] = []
    for answer in answers:
        for result in answer.results:
            word = status_of(answer.policy, result, audit_warn=audit_warn).value.capitalize()
            rule = result.rule.name if answer.policy.identity.kind in KYVERNO_KINDS else ""
            reason = {"Pass": "Ok"}.get(word, word)
            cells = [
                str(len(rows) + 1),
                answer.policy.identity.name,
                rule,
                subject_of(answer.object),
                coloured(word, colours=colours),
                reason,
            ]
            rows.append([*cells, *([" ".join(result.message.split())] if detailed else [])])
    return drawn(header, rows)
