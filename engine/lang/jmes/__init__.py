"""JMESPath as Kyverno speaks it: the jmespath package's parser, our closures."""

from engine.lang.errors import UnknownKey
from engine.lang.jmes.root import Root

__all__ = ["Root", "UnknownKey"]
