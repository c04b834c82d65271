"""What rules do: one module per check, and the tables that name them.

`BODIES` are the keys of `validate`, `ACTIONS` the other kinds of rules. A compiler takes (spec, rule=, message=, path=) and
gives a `Check`; those in `WITH_CONTEXT` look things up by themselves and take `policy_namespace=` too, those in
`WITH_POLICY` name their policy in what they make and take its identity as `policy=`.
"""

from __future__ import annotations

from collections.abc import Callable

from engine.policy import Check
from engine.rules import assertion, deny, foreach, generate, mutate, pattern, pod_security
from engine.rules.later import later

Compile = Callable[..., Check]

BODIES: dict[str, Compile] = {
    "pattern": pattern.compile_check,
    "anyPattern": pattern.compile_any_check,
    "deny": deny.compile_check,
    "cel": later("engine.rules.cel", "compile_check"),
    "foreach": foreach.compile_check,
    "podSecurity": pod_security.compile_check,
    "assert": assertion.compile_check,
}
ACTIONS: dict[str, Compile] = {
    "generate": generate.compile_check,
    "mutate": mutate.compile_check,
}
WITH_CONTEXT = frozenset({"foreach", "cel", "mutate"})
WITH_POLICY = frozenset({"generate"})

__all__ = ["ACTIONS", "BODIES", "WITH_CONTEXT", "WITH_POLICY", "Compile"]
