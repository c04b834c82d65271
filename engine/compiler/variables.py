"""Which variables a rule may use (spec 2.10, 3.4): checked on the text of the expressions, as Kyverno's policy webhook does."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from engine.clauses.variable import VARIABLE, variables_of
from engine.errors import InvalidPolicy
from engine.request import Object

_ROOTS = r"request|serviceAccountName|serviceAccountNamespace|element|elementIndex|@|images|image|([a-z_0-9]+\()[^{}]"
_ROOTS_WITH_TARGET = _ROOTS.replace("image|", "image|target|")
_ELEMENT = re.compile(r"(?<![\w.\"'-])element(?:Index)?\d*\b")
_USER = (
    re.compile(r"(?<![.\w])serviceAccountName\b"),
    re.compile(r"(?<![.\w])serviceAccountNamespace\b"),
    re.compile(r"(?<![.\w])request\.userInfo\b"),
    re.compile(r"(?<![.\w])request\.roles\b"),
    re.compile(r"(?<![.\w])request\.clusterRoles\b"),
)
_PATCH_PATH = re.compile(r"""["']?path["']?\s*:\s*(?:"[^"\n]*\{\{|'[^'\n]*\{\{|[^"'\n,}]*\{\{)""")


def check_variables(rule: Object, path: str, *, background: bool) -> None:
    """Raises `InvalidPolicy` for variables where none may stand, and for roots that this rule does not have."""
    for section in ("match", "exclude"):
        if VARIABLE.search(_text(rule.get(section))):
            raise InvalidPolicy(
                f"{path}.{section}",
                f'policy contains invalid variables: rule "{rule["name"]}" should not have variables in {section} section',
            )
    patches = (rule.get("mutate") or {}).get("patchesJson6902")
    if patches and _PATCH_PATH.search(patches):
        raise InvalidPolicy(
            f"{path}.mutate.patchesJson6902",
            f'policy contains invalid variables: rule "{rule["name"]}" should not have variables in patchesJSON6902 path section',
        )
    _check_elements(rule, path)
    _check_roots(rule, path)
    if background:
        _check_user_data(rule, path)


def _text(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False) if value else ""


def _check_elements(rule: Object, path: str) -> None:
    """`element` and its kin exist within foreach only; a context entry of that name does not help."""
    for text, at in _variables(rule):
        if "/foreach/" not in at and "/manifests/" not in at and _ELEMENT.search(text):
            raise InvalidPolicy(path, f"variable '{text}' present outside of foreach at path {at}")


def _variables(rule: Object) -> Iterator[tuple[str, str]]:
    for section, value in rule.items():
        if section not in ("match", "exclude", "name"):
            yield from variables_of(value, f"/{section}")


def _check_roots(rule: Object, path: str) -> None:
    known = _context_names(rule.get("context"))
    mutate = rule.get("mutate") or {}
    targets = mutate.get("targets") or []
    for section, value in rule.items():
        if section in ("match", "exclude", "name"):
            continue
        if section == "verifyImages" or (section == "mutate" and targets):
            continue  # conditions of verifyImages read attestations, whose fields only the signer knows
        _check_value(value, f"/{section}", [*known, *_inner_names(value)], _ROOTS, rule, path)
    for index, target in enumerate(targets):
        at = f"/mutate/targets/{index}"
        selecting = {key: target[key] for key in target if key not in ("context", "preconditions")}
        _check_value(selecting, at, known, _ROOTS, rule, path)
        names = [*known, *_context_names(target.get("context"))]
        for key in ("context", "preconditions"):
            _check_value(target.get(key), f"{at}/{key}", names, _ROOTS_WITH_TARGET, rule, path)
    if targets:
        names = [*known, *(name for target in targets for name in _context_names(target.get("context"))), *_inner_names(mutate)]
        patching = {key: mutate[key] for key in mutate if key != "targets"}
        _check_value(patching, "/mutate", names, _ROOTS_WITH_TARGET, rule, path)


def _check_value(value: Any, at: str, names: list[str], roots: str, rule: Object, path: str) -> None:
    allowed = re.compile(roots)
    for text, where in variables_of(value, at):
        plain = text.replace('"', "")
        if "\x00" in plain or not plain or allowed.search(plain) or any(_fits(plain, name) for name in names):
            continue
        shown = " ".join(name for name in names if not name.endswith("*") or ".*" in name)
        raise InvalidPolicy(
            path,
            f"policy contains invalid variables: variable substitution failed for rule {rule['name']}: "
            f'variable {plain} must match regex "{roots}" or patterns [{shown}] (at {where})',
        )


def _fits(text: str, pattern: str) -> bool:
    return text.startswith(pattern[:-1]) if pattern.endswith("*") else text == pattern


def _context_names(entries: Any) -> list[str]:
    """What a rule may ask of its context entries: patterns that may end in `*`; a ConfigMap shows data and metadata only."""
    names = []
    for entry in entries or []:
        name = str(entry.get("name") or "")
        if entry.get("configMap") is not None:
            names += [
                f"{name}.data",
                f"{name}.metadata",
                f"{name}.data.*",
                f"{name}.metadata.*",
                f"{name}.data[*",
                f"{name}.metadata[*",
            ]
        else:
            names.append(f"{name}*")
    return names


def _inner_names(value: Any) -> list[str]:
    """The context entries of foreach blocks within a body."""
    if isinstance(value, list):
        return [name for member in value for name in _inner_names(member)]
    if not isinstance(value, Mapping):
        return []
    names = []
    for key, member in value.items():
        if key == "context" and isinstance(member, list):
            names += _context_names([entry for entry in member if isinstance(entry, dict)])
        elif key == "foreach":
            names += _inner_names(member)
    return names


def _check_user_data(rule: Object, path: str) -> None:
    """Nobody asks in a background scan: what depends on the user needs background: false."""
    prefix = (
        "only select variables are allowed in background mode. "
        "Set spec.background=false to disable background mode for this policy rule"
    )
    for section in ("match", "exclude"):
        clause = rule.get(section) or {}
        blocks = [("", clause)]
        blocks += [(f"{key}[{index}]/", block) for key in ("any", "all") for index, block in enumerate(clause.get(key) or [])]
        for where, block in blocks:
            for key in ("roles", "clusterRoles", "subjects"):
                if block.get(key):
                    raise InvalidPolicy(path, f"{prefix}: invalid variable used at path: {path}/{section}/{where}{key}")
    for text, _ in _variables(rule):
        if any(banned.search(text) for banned in _USER):
            raise InvalidPolicy(path, f"{prefix}: variable {{{{{text}}}}} is not allowed")
