"""The functions of Kyverno's JMESPath: the language's own and Kyverno's 51 (spec 2.10), one table, one module per family."""

from __future__ import annotations

from engine.lang.jmes.functions.arithmetic import ARITHMETIC
from engine.lang.jmes.functions.builtin import BUILTIN
from engine.lang.jmes.functions.encoding import ENCODING
from engine.lang.jmes.functions.notations import NOTATIONS
from engine.lang.jmes.functions.objects import OBJECTS
from engine.lang.jmes.functions.regex import REGEX
from engine.lang.jmes.functions.signature import Closure, Function, bind
from engine.lang.jmes.functions.strings import STRINGS
from engine.lang.jmes.functions.times import TIMES

FUNCTIONS: dict[str, Function] = BUILTIN | STRINGS | REGEX | ARITHMETIC | ENCODING | OBJECTS | TIMES | NOTATIONS
"""Name -> function; `FUNCTIONS[name].signature(name)` and `.note` are what `jp function` shows for those not `builtin`."""

__all__ = ["FUNCTIONS", "Closure", "Function", "bind"]
