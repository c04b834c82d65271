"""The answer for people: text with diffs, a table, Markdown for pull requests."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from cli.impact.command import Options
from cli.impact.documents import json_form, yaml_form
from cli.impact.findings import ACTIONS, Finding, Impact, Report
from cli.tables import drawn

SIGNS = {"deny": "✗", "audit": "!", "error": "!", "resolve": "✓", "mutate": "~", "create": "+", "change": "~", "delete": "-"}
RED, GREEN, YELLOW, CYAN, BOLD = "31", "32", "33", "36", "1"
COLOURS = {"✗": RED, "!": YELLOW, "✓": GREEN, "~": YELLOW, "+": GREEN, "-": RED}
HEADINGS = {
    "deny": "would newly be denied, if created now",
    "audit": "would newly fail under Audit",
    "error": "on which rules would newly err",
    "resolve": "would fail no longer, or with less weight",
    "mutate": "would be mutated",
    "create": "would be created",
    "change": "would be changed",
    "delete": "would be deleted",
}
INDENT = "      "
Paint = Callable[[str, str], str]


def text_form(report: Report, options: Options) -> str:
    """A block for each policy, then the sums."""
    paint = _painted if options.colours else _plain
    lines: list[str] = []
    for impact in report.impacts:
        lines += [*_block(impact, paint), ""]
    return "\n".join([*lines, *_end(report, paint)]) + "\n"


def table_form(report: Report, options: Options) -> str:
    """One line for each finding."""
    header = ["POLICY", "RULES", "ACTION", "RESOURCE", "WHEN", "MESSAGE"]
    rows = [
        [
            impact.policy.identity.key,
            " ".join(finding.rules),
            finding.action,
            str(finding.subject),
            finding.when,
            _message(finding),
        ]
        for impact in report.impacts
        for action in ACTIONS
        for finding in impact.of(action)
    ]
    table = drawn(header, rows) + "\n" if rows else ""
    return table + "\n".join(_end(report, _plain)) + "\n"


def markdown_form(report: Report, options: Options) -> str:
    """Sums as a table, details folded."""
    shown = [action for action in ACTIONS if report.totals[action]]
    lines = ["### Impact of policies", ""]
    if shown:
        lines += ["| policy | " + " | ".join(shown) + " |", "|---|" + "---:|" * len(shown)]
        for impact in report.impacts:
            cells = " | ".join(str(impact.counts[action] or "") for action in shown)
            lines.append(f"| `{impact.policy.identity.key}` ({impact.state}) | {cells} |")
        lines.append("")
    for impact in report.impacts:
        if impact.findings or impact.notes or impact.later:
            lines += [f"<details><summary>{impact.title}</summary>", "", "```diff", *_marked(impact), "```", "", "</details>", ""]
    return "\n".join([*lines, *_end(report, _plain)]) + "\n"


def _marked(impact: Impact) -> Iterator[str]:
    """The block of a policy so that no text of an object ends the fence."""
    for line in _block(impact, _plain):
        yield line.replace("```", "` ` `")


def _block(impact: Impact, paint: Paint) -> Iterator[str]:
    yield paint(f"{impact.title}", BOLD) + f" ({impact.state})"
    for action in ACTIONS:
        if impact.counts[action]:
            sign, count = SIGNS[action], impact.counts[action]
            yield f"  {paint(sign, COLOURS[sign])} {_objects(count)} {HEADINGS[action]}"
            found = impact.of(action)
            for finding in found:
                yield from _lines(finding, paint)
            if count > len(found):
                yield f"    … and {count - len(found)} more: --limit 0 shows all"
    if not impact.counts:
        yield "  nothing would change"
    if impact.same:
        yield f"  {_objects(impact.same)} as before: failing, or to be deleted"
    if impact.excepted:
        yield f"  {_objects(impact.excepted)} spared by PolicyExceptions"
    for rule, count in impact.later.items():
        yield f"  rule {rule}: {_objects(count)} would trigger it, but not before the next change: generateExisting is not set"
    for note in impact.notes:
        yield f"  note: {note}"


def _lines(finding: Finding, paint: Paint) -> Iterator[str]:
    remarks = ", ".join(filter(None, (finding.when, finding.was)))
    yield f"    {finding.subject}" + (f"  ({remarks})" if remarks else "")
    for rule, message in zip(finding.rules, finding.messages, strict=False):
        yield f"{INDENT}{rule}: {' '.join(message.split())}"
    if not finding.messages and finding.diff:
        yield f"{INDENT}by {', '.join(finding.rules)}"
    for line in finding.diff:
        yield INDENT + paint(line, {"+": GREEN, "-": RED, "@": CYAN}.get(line[:1], ""))


def _end(report: Report, paint: Paint) -> Iterator[str]:
    for what, reason in report.unread.items():
        yield paint(f"not read: {what}: {reason}", YELLOW)
    for fault in report.faults:
        yield paint(f"error: {fault}", RED)
    totals = report.totals
    said = ", ".join(f"{totals[action]} {ACTIONS[action]}" for action in ACTIONS if totals[action])
    looked = f"{_objects(report.objects)} of {report.kinds} kind{'s' * (report.kinds != 1)} in {report.source}"
    policies = "1 policy" if len(report.impacts) == 1 else f"{len(report.impacts)} policies"
    yield f"Impact of {policies} on {looked}: {said or 'nothing would change'}."


def _objects(count: int) -> str:
    return f"{count} object{'s' * (count != 1)}"


def _message(finding: Finding) -> str:
    return " ".join("; ".join(finding.messages).split())


def _painted(text: str, code: str) -> str:
    return f"\x1b[{code}m{text}\x1b[0m" if code else text


def _plain(text: str, _code: str) -> str:
    return text


FORMS: Mapping[str, Callable[[Report, Options], str]] = {
    "text": text_form,
    "table": table_form,
    "markdown": markdown_form,
    "json": json_form,
    "yaml": yaml_form,
}
"""-o -> what writes it."""
