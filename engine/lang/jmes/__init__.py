"""JMESPath as Kyverno speaks it: the jmespath package's parser, our closures."""

from engine.lang.errors import UnknownKey
from engine.lang.jmes.compile import Expression, compile_expression
from engine.lang.jmes.functions import FUNCTIONS, Function
from engine.lang.jmes.root import Document, Root

__all__ = ["FUNCTIONS", "Document", "Expression", "Function", "Root", "UnknownKey", "compile_expression"]
