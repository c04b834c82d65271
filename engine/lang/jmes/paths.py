"""Which parts of the root an expression may read: known before it runs, by following field names through the AST."""

from __future__ import annotations

from engine.lang.jmes.syntax import Ast

Path = tuple[str, ...]
WHOLE_ROOT: Path = ("@",)
"""The path of an expression that reads the root as a value (`@`, `keys(@)`, `*`)."""


def root_paths(ast: Ast) -> frozenset[Path]:
    """Every root path that `ast` may read, the longest known prefix of each: `request.object.spec.x[0].y` gives
    `("request", "object", "spec", "x")`. Literal-only expressions read nothing."""
    reader = _Reader()
    reader.consume(reader.follow(ast, ()))
    return frozenset(reader.read)


class _Reader:
    """Follows values: `follow` gives the path of a node's value relative to the root, or None where it is not one place."""

    def __init__(self) -> None:
        self.read: set[Path] = set()

    def consume(self, path: Path | None) -> None:
        """The value at `path` leaves what can be followed: it is read as a whole."""
        if path is not None:
            self.read.add(path or WHOLE_ROOT)

    def follow(self, ast: Ast, base: Path | None) -> Path | None:
        kind, children = ast["type"], ast["children"]
        if kind == "field":
            return None if base is None else (*base, ast["value"])
        if kind in ("current", "identity"):
            return base
        if kind in ("subexpression", "pipe"):
            # A leading `@` is not evaluated: `@.name` and `@ | name` read one name.
            for child in children[children[0]["type"] == "current" :]:
                base = self._step(child, base)
            return base
        if kind in ("index", "slice"):
            self.consume(base)
            return None
        if kind in ("index_expression", "flatten", "projection", "value_projection", "filter_projection"):
            self.consume(self.follow(children[0], base))
            for child in children[1:]:
                self.follow(child, None)
            return None
        for child in children:  # conditions, multi-selects, calls: every child sees the same value
            self.consume(self.follow(child, base))
        return None

    def _step(self, ast: Ast, base: Path | None) -> Path | None:
        """One step of a path. A step that looks at nothing below `base` (`request.object | 'x'`) still evaluates it."""
        path = self.follow(ast, base)
        if path == ():
            self.consume(path)
        elif base and path is None and not any(read[: len(base)] == base for read in self.read):
            self.consume(base)
        return path
