"""How long does one CEL expression take? Prints microseconds per evaluation of a compiled expression on a typical Pod.

python -m perf.cel
"""

from __future__ import annotations

from timeit import Timer
from typing import Any

from engine.lang.cel import Environment
from perf.pattern import POD

ENVIRONMENT = Environment({"object": "dyn"})
EXPRESSIONS: dict[str, str] = {
    "nested has": (
        "object.spec.containers.all(c, has(c.securityContext) && has(c.securityContext.runAsUser)"
        " && c.securityContext.runAsUser == 1000)"
    ),
    "strings": "object.spec.containers.all(c, c.image.startsWith('registry.example.com/') && !c.image.endsWith(':latest'))",
    "optional chains": (
        "(object.spec.containers + object.spec.?initContainers.orValue([]))"
        ".all(c, c.?securityContext.?privileged.orValue(false) == false)"
    ),
    "label": "has(object.metadata.labels) && 'team' in object.metadata.labels && object.metadata.labels.team != ''",
    "quantity": "object.spec.containers.all(c, quantity(c.resources.limits.memory).isLessThan(quantity('1Gi')))",
    "regular expression": "object.spec.containers.all(c, c.image.matches('^registry[.]example[.]com/[a-z]+:[0-9.]+$'))",
}


def microseconds(expression: str, document: Any) -> float:
    """The best of five runs, so that other work on the machine counts least."""
    program = ENVIRONMENT.compile(expression)
    activation = {"object": document}
    assert program(activation) is True
    rounds = 2000
    return min(Timer(lambda: program(activation)).repeat(5, rounds)) / rounds * 1e6


def main() -> None:
    for name, expression in EXPRESSIONS.items():
        print(f"{microseconds(expression, POD):7.2f} us  {name}")


if __name__ == "__main__":
    main()
