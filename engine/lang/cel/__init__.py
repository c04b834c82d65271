"""The Common Expression Language: parser, checker and closures over plain JSON values (https://cel.dev)."""

from engine.lang.cel.environment import Activation, Environment, Program
from engine.lang.cel.errors import CelError, CostExceeded, located, position
from engine.lang.cel.functions import Library, Overload
from engine.lang.cel.kinds import DYN, Struct, Type
from engine.lang.cel.values import Duration, KeyedMap, Optional, Timestamp, TypeValue, UInt

__all__ = [
    "DYN",
    "Activation",
    "CelError",
    "CostExceeded",
    "Duration",
    "Environment",
    "KeyedMap",
    "Library",
    "Optional",
    "Overload",
    "Program",
    "Struct",
    "Timestamp",
    "Type",
    "TypeValue",
    "UInt",
    "located",
    "position",
]
