"""JSON values as documents: pointers, equality, patches. Inputs are never written to; results share untouched parts."""

from engine.document.diff import diff
from engine.document.patch import PatchError, apply_patch
from engine.document.pointer import PointerError, format_pointer, parse_pointer
from engine.document.spine import KYVERNO, STRICT, Leniency
from engine.document.strategic import StrategicMergeError, strategic_merge
from engine.lang.equality import same

__all__ = [
    "KYVERNO",
    "STRICT",
    "Leniency",
    "PatchError",
    "PointerError",
    "StrategicMergeError",
    "apply_patch",
    "diff",
    "format_pointer",
    "parse_pointer",
    "same",
    "strategic_merge",
]
