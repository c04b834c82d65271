"""Results of tests as tables, JSON, YAML, Markdown or JUnit's XML (cli-format.md 6, "Printed output")."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import orjson

from cli.matching import Line
from cli.tables import coloured, drawn
from engine import yaml_text

HEADER = ("ID", "POLICY", "RULE", "RESOURCE", "RESULT", "REASON")
MESSAGE = "MESSAGE"


def table(lines: Sequence[Line], *, detailed: bool, colours: bool) -> str:
    """The box that a person reads."""
    rows = [_cells(number, line, detailed, colours) for number, line in enumerate(lines, start=1)]
    return drawn((*HEADER, MESSAGE) if detailed else HEADER, rows)


def json(lines: Sequence[Line], *, detailed: bool, colours: bool = False) -> str:
    return orjson.dumps(_objects(lines, detailed), option=orjson.OPT_INDENT_2).decode() + "\n"


def yaml(lines: Sequence[Line], *, detailed: bool, colours: bool = False) -> str:
    return yaml_text(_objects(lines, detailed))


def markdown(lines: Sequence[Line], *, detailed: bool, colours: bool = False) -> str:
    header = (*HEADER, MESSAGE) if detailed else HEADER
    rows = [_cells(number, line, detailed, colours=False) for number, line in enumerate(lines, start=1)]
    cells = [header, tuple("---" for _ in header), *rows]
    return "".join("| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |\n" for row in cells)


def junit(lines: Sequence[Line], *, detailed: bool, colours: bool = False) -> str:
    """A suite for each policy, a case for each line."""
    from xml.etree import ElementTree

    from cli.formats import xml_text

    suites: dict[str, list[Line]] = {}
    for line in lines:
        suites.setdefault(line.policy, []).append(line)
    root = ElementTree.Element("testsuites", name="pyvern test")
    for policy, cases in suites.items():
        counts = {
            name: sum(case.result == result for case in cases) for result, name in (("Fail", "failures"), ("Skip", "skipped"))
        }
        numbers = {name: str(count) for name, count in counts.items()}
        suite = ElementTree.SubElement(root, "testsuite", {"name": xml_text(policy), "tests": str(len(cases)), **numbers})
        for case in cases:
            made = ElementTree.SubElement(
                suite, "testcase", classname=xml_text(case.rule or policy), name=xml_text(case.resource)
            )
            if case.result != "Pass":
                tag = "failure" if case.result == "Fail" else "skipped"
                ElementTree.SubElement(made, tag, message=xml_text(case.reason)).text = xml_text(case.message)
    ElementTree.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ElementTree.tostring(root, encoding="unicode") + "\n"


FORMATS: dict[str, Callable[..., str]] = {"": table, "json": json, "yaml": yaml, "markdown": markdown, "junit": junit}
"""`-o` -> how the lines of one test are written."""


def _cells(number: int, line: Line, detailed: bool, colours: bool) -> tuple[str, ...]:
    cells = (str(number), line.policy, line.rule, line.resource, coloured(line.result, colours=colours), line.reason)
    return (*cells, " ".join(line.message.split())) if detailed else cells


def _objects(lines: Sequence[Line], detailed: bool) -> list[dict[str, object]]:
    objects = []
    for number, line in enumerate(lines, start=1):
        values: tuple[object, ...] = (number, line.policy, line.rule, line.resource, line.result, line.reason)
        found = dict(zip(HEADER, values, strict=True))
        objects.append({**found, "Message": line.message} if detailed else found)
    return objects
