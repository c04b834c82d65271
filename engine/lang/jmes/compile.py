"""Expression text -> Expression: parse, look at the paths it reads, build the closures."""

from __future__ import annotations

from typing import Any

from engine.lang.errors import ExpressionSyntaxError
from engine.lang.jmes.functions import Closure
from engine.lang.jmes.nodes import Build
from engine.lang.jmes.paths import root_paths
from engine.lang.jmes.root import Document
from engine.lang.jmes.syntax import Ast, parse
from engine.lang.jmes.values import TYPE_NAMES, printable


class Expression:
    """A compiled expression: call it with a Root or a plain JSON value.

    `text` as written, `ast` of the jmespath package, `paths` the root paths it may read as tuples of names (`("@",)`: the
    whole root) and `names` their first parts; `steady`: equal values give equal results, whenever it is asked. Raises
    `ExpressionError`, `UnknownKey` for a missing field; what the Root raises passes.
    """

    __slots__ = ("_run", "ast", "names", "paths", "steady", "text")

    def __init__(self, text: str, ast: Ast) -> None:
        self.text = text
        self.ast = ast
        self.paths = root_paths(ast)
        self.names = frozenset(path[0] for path in self.paths)
        build = Build(text)
        run = build.node(ast, rooted=True, lenient=False)
        self.steady = not build.needs_root
        if build.needs_root:
            # Time, randomness and host names are asked of the Root deep inside: such an expression is bound anew for each.
            self._run: Closure = lambda root: printable(Build(text, root).node(ast, rooted=True, lenient=False)(root))
        elif build.raw:
            self._run = lambda root: printable(run(root))
        else:
            self._run = run

    def __call__(self, root: Any) -> Any:
        return self._run(Document(root) if root.__class__ in TYPE_NAMES else root)

    def __repr__(self) -> str:
        return f"Expression({self.text!r})"


def compile_expression(text: str) -> Expression:
    """Compiles `text`; raises `ExpressionSyntaxError`, also for unknown functions and wrong numbers of arguments."""
    ast = parse(text)
    try:
        return Expression(text, ast)
    except RecursionError:
        raise ExpressionSyntaxError(text, "the expression is nested too deeply") from None
