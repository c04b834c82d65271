"""YAML text of any JSON value as Go's sigs.k8s.io/yaml writes it: objects that the command line prints, reports.

The style of `go_yaml` (keys in natural order, two blanks of indent) with lists, whose items stand at the indent of their key.
"""

from __future__ import annotations

from typing import Any

from engine.lang import go_json
from engine.lang.go_yaml import STEP, is_simple_key, natural_order, scalar_text
from engine.lang.go_yaml_scalar import LINE_ENDS


def dump_value(value: Any) -> str:
    """The document of a JSON value, with a line end after the last line."""
    out: list[str] = []
    _write(value, 0, out, lead="", after_key=False)
    return "".join(out)


def _write(value: Any, indent: int, out: list[str], *, lead: str, after_key: bool) -> None:
    """Writes the value behind `lead` (`key:` or `-`, nothing at the top); what takes further lines stands at `indent`."""
    if isinstance(value, dict) and value:
        if after_key:
            out.append(f"{lead}\n")
            lead = ""
        _write_mapping(value, indent, out, f"{lead} " if lead else "")
    elif isinstance(value, list) and value:
        if after_key:
            out.append(f"{lead}\n")
            indent -= STEP
            lead = ""
        _write_list(value, indent, out, f"{lead} " if lead else "")
    else:
        text = _leaf(value, len(lead) + 1 if lead else 0, indent)
        text = f"{lead} {text}" if lead else text
        out.append(text if text[-1] in LINE_ENDS else f"{text}\n")


def _write_mapping(value: dict[str, Any], indent: int, out: list[str], first: str) -> None:
    margin = " " * indent
    for key in natural_order(value):
        start = first or margin
        first = ""
        if is_simple_key(key):
            _write(value[key], indent + STEP, out, lead=f"{start}{scalar_text(key, 0, 0, folds=False)}:", after_key=True)
        else:
            written = scalar_text(key, indent + STEP, indent + STEP)
            out.append(f"{start}? {written}{'' if written[-1] in LINE_ENDS else chr(10)}")
            _write(value[key], indent + STEP, out, lead=f"{margin}:", after_key=False)


def _write_list(value: list[Any], indent: int, out: list[str], first: str) -> None:
    margin = " " * indent
    for item in value:
        start = first or margin
        first = ""
        _write(item, indent + STEP, out, lead=f"{start}-", after_key=False)


def _leaf(value: Any, column: int, indent: int) -> str:
    if isinstance(value, str):
        return scalar_text(value, column, indent)
    if value is None:
        return "null"
    if isinstance(value, (dict, list)):
        return "{}" if isinstance(value, dict) else "[]"
    return go_json.dumps(value)
