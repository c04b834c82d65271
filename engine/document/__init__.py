"""JSON values as documents: pointers, equality, patches. Inputs are never written to; results share untouched parts."""

from engine.document.diff import diff
from engine.document.equality import same
from engine.document.patch import KYVERNO, STRICT, Leniency, PatchError, apply_patch
from engine.document.pointer import PointerError, format_pointer, parse_pointer

__all__ = [
    "KYVERNO",
    "STRICT",
    "Leniency",
    "PatchError",
    "PointerError",
    "apply_patch",
    "diff",
    "format_pointer",
    "parse_pointer",
    "same",
]
