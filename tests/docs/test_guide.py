"""The guides tell what the program does."""

from __future__ import annotations

import re
from typing import Any

import pytest
import yaml

from engine import FRONTENDS, InvalidPolicy, compile_policy, kind_of
from engine.lint import lint, lintable
from tests.docs.guide import DOCS, PAGES, examples, sections

TEXTS = {name: (DOCS / name).read_text() for name in PAGES}
_YAML = re.compile(r"^```yaml(?: title=\"(?!mistakes)[^\"]+\")?\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize(
    "section",
    [pytest.param(part, id=f"{name}-{heading}") for name, text in TEXTS.items() for heading, part in sections(text) if heading],
)
def test_commands_print_what_the_page_says(section: str) -> None:
    for example in examples(section):
        assert example.printed == example.told, f"`{example.command}`: renew with `make docs`"


def documents() -> list[Any]:
    return [document for text in TEXTS.values() for block in _YAML.findall(text) for document in yaml.safe_load_all(block)]


def test_every_policy_of_the_pages_compiles() -> None:
    compiled = 0
    for document in documents():
        gvk = kind_of(document)
        if (gvk.group, gvk.kind) in FRONTENDS:
            try:
                compile_policy(document)
            except InvalidPolicy as error:
                pytest.fail(f"{document['metadata']['name']}: {error}")
            compiled += 1
    assert compiled > 10


def test_the_pages_show_no_old_forms_and_no_dead_rules() -> None:
    findings = [finding for document in documents() if lintable(document) for finding in lint(document)]
    assert [finding for finding in findings if finding.code != "warning"] == []
