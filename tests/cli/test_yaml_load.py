"""YAML files: the fast reader agrees with the exact one, faults have places, documents know theirs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml as pyyaml
from hypothesis import given, settings
from hypothesis import strategies as st

from cli.errors import InputError
from cli.yaml_load import load_file, load_text
from engine import InvalidYAML, load_yaml
from tests.conformance.oracle import conformance_dir


def values(text: str) -> list[Any]:
    documents, errors = load_text(text, "f.yaml")
    assert errors == []
    return [document.value for document in documents]


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("yes", True),
        ("Off", False),
        ('"yes"', "yes"),
        ("~", None),
        ("", None),
        ("0755", 493),
        ("1_000", 1000),
        ("1e3", 1000),
        ("1.0", 1),
        ("100m", "100m"),
        ("2024-01-01", "2024-01-01"),
        ("1:30", "1:30"),
        ("nan", "nan"),
        ("!!str 1", "1"),
        ("*.example.com", InvalidYAML),
        ("&a [1, 2]", [1, 2]),
    ],
)
def test_scalars_are_read_as_kubernetes_reads_them(written: str, value: Any) -> None:
    documents, errors = load_text(f"key: {written}\n", "f.yaml")
    if value is InvalidYAML:
        assert errors
    else:
        assert [document.value for document in documents] == [{"key": value}]


def test_keys_are_strings_and_merge_keys_merge() -> None:
    text = "a: &base {p: 1, q: 2}\nb: {<<: *base, q: 3}\non: 1\n2: two\n"
    assert values(text) == [{"a": {"p": 1, "q": 2}, "b": {"p": 1, "q": 3}, "true": 1, "2": "two"}]


def test_documents_know_the_line_on_which_they_start() -> None:
    text = "# head\n---\na: 1\n--- # second\n\nb: |\n  text --- here\n...\n---\n# nothing\n---\nc: 1\n"
    documents, errors = load_text(text, "f.yaml")
    assert errors == []
    assert [(document.line, document.value) for document in documents] == [
        (3, {"a": 1}),
        (5, {"b": "text --- here\n"}),
        (12, {"c": 1}),
    ]


def test_a_fault_is_named_with_its_line_and_column_and_hides_no_other_document() -> None:
    documents, errors = load_text("a: 1\n---\nb: 2\nc: d: e\n---\nf: 3\n", "f.yaml")
    assert [document.value for document in documents] == [{"a": 1}, {"f": 3}]
    assert [str(error) for error in errors] == ["f.yaml:4:5: mapping values are not allowed in this context"]


def test_a_key_given_twice_is_an_error_only_where_it_matters() -> None:
    assert values("a: 1\na: 2\n") == [{"a": 2}]
    _, errors = load_text("a: 1\nb:\n  c: 1\n  c: 2\n", "f.yaml", unique=True)
    assert [str(error) for error in errors] == ["f.yaml:4:3: key `c` is given twice"]


def test_json_is_read_too() -> None:
    assert values('{"a": [1, true, null, "x\\n"]}') == [{"a": [1, True, None, "x\n"]}]


def test_what_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "latin.yaml").write_bytes(b"a: 1\nb: \xe9\n")
    for name, reason in (("nowhere.yaml", "no such file or directory"), ("latin.yaml", "byte 8 is no UTF-8")):
        documents, errors = load_file(str(tmp_path / name))
        assert documents == []
        assert [error.reason for error in errors] == [reason]


def test_faults_leave_nothing_on_the_terminal(capfd: pytest.CaptureFixture[str]) -> None:
    load_text("a: b: c\n", "f.yaml")
    assert capfd.readouterr() == ("", "")


plain = st.text(st.sampled_from("abyYnNoOefst0179.-+_~:#&*!?|>'\"{}[], \\xXinull\n"), max_size=12)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**15), 10**15) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=12,
)


def both(text: str) -> tuple[Any, Any]:
    """What the command line reads, and what the exact reader says; a fault is None, and so is an empty document."""
    documents, _ = load_text(text, "f.yaml")
    try:
        exact = load_yaml(text)
    except InvalidYAML:
        exact = None
    return [document.value for document in documents], [] if exact is None else [exact]


@settings(max_examples=400)
@given(plain)
def test_both_readers_agree_on_scraps(scrap: str) -> None:
    text = f"key: {scrap}\nother:\n- {scrap}\n"
    if "---" not in scrap and "..." not in scrap:
        fast, exact = both(text)
        assert fast == exact


@settings(max_examples=200)
@given(json_values, st.sampled_from([None, True, False]))
def test_both_readers_agree_on_written_documents(value: Any, flow: bool | None) -> None:
    text = pyyaml.safe_dump({"value": value}, default_flow_style=flow, allow_unicode=True)
    fast, exact = both(text)
    assert fast == exact


def test_both_readers_agree_on_the_files_of_kyverno() -> None:
    differing = []
    for file in sorted((conformance_dir() / "data").rglob("*.y*ml"))[::4]:
        documents, errors = load_file(str(file))
        for document in documents:
            try:
                same = load_yaml(document.text) == document.value
            except InvalidYAML as error:
                same = False
                errors.append(InputError(str(file), str(error)))
            if not same:
                differing.append(f"{file}:{document.line}")
    assert differing == []
