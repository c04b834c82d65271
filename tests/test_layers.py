"""Imports point one way (design.md, section 2): each module may import what its layer names, and nothing else of ours."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
OURS = ("engine", "controllers", "cli", "crds", "deploy", "tests", "perf")

LANGUAGES = ("engine.lang", "engine.document")
CORE = tuple(f"engine.{name}" for name in ("policy", "request", "result", "scope", "facts", "held", "errors"))
SHELLS = ("controllers.admission", "controllers.background", "controllers.reports", "controllers.cleanup", "cli")
FACE = ("engine", "engine.report")  # the package itself: what engine/__init__.py offers; and the documents of reports
TOOLS = ("engine.explain", "engine.lint")  # faces of their own

ALLOWED = {
    "engine.lang": (),
    "engine.document": ("engine.lang",),
    **dict.fromkeys(CORE, (*CORE, *LANGUAGES)),
    "engine.clauses": (*CORE, *LANGUAGES),
    "engine.rules": ("engine.clauses", *CORE, *LANGUAGES),
    "engine.compiler": ("engine.rules", "engine.clauses", *CORE, *LANGUAGES),
    **dict.fromkeys(("engine.policyset", "engine.report"), (*CORE, *LANGUAGES)),
    "engine.evaluate": ("engine.policyset", *CORE, *LANGUAGES),
    "engine.mutation": ("engine.evaluate", "engine.policyset", *CORE, *LANGUAGES),
    **dict.fromkeys(
        TOOLS, ("engine.policyset", "engine.evaluate", "engine.compiler", "engine.rules", "engine.clauses", *CORE, *LANGUAGES)
    ),
    "controllers.cluster": FACE,
    **dict.fromkeys(SHELLS, ("controllers.cluster", *FACE)),
    "cli": ("controllers.cluster", *FACE, *TOOLS, "engine.lang", "crds.source"),
    "crds.source": (),
}
"""Layer -> what it may import besides itself; the longest prefix of a module's name is its layer."""

WORLD = ("asyncio", "aiohttp", "granian", "kopf", "kubernetes_asyncio", "os", "socket", "time", "io", "pathlib", "threading")
"""What the engine never imports: it is pure."""


def modules(*packages: str) -> list[str]:
    files = [file for package in packages for file in sorted((ROOT / package).rglob("*.py"))]
    return [".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__") for file in files]


def layer(module: str) -> str | None:
    fitting = [name for name in ALLOWED if module == name or module.startswith(f"{name}.")]
    return max(fitting, key=len, default=None)


def imports(module: str) -> Iterator[tuple[int, str]]:
    """(line, full name) of everything the module imports, `from a import b` as `a.b`; type-checking imports too."""
    path = ROOT / Path(*module.split("."))
    file = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    package = module if path.is_dir() else module.rpartition(".")[0]
    for node in ast.walk(ast.parse(file.read_text(), str(file))):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(filter(None, [*package.split(".")[: len(package.split(".")) - node.level + 1], node.module]))
            yield from ((node.lineno, f"{base if node.level else node.module}.{alias.name}") for alias in node.names)


def target(name: str) -> str:
    """The module behind an imported name: `engine.policy.Rule` is of engine.policy, `engine.Policy` of the face, engine."""
    parts = name.split(".")
    for length in range(len(parts), 0, -1):
        path = ROOT / Path(*parts[:length])
        if path.with_suffix(".py").is_file() or path.is_dir():
            return ".".join(parts[:length])
    return parts[0]


def wrong_arrows(module: str) -> list[str]:
    """One line for each import that points the wrong way."""
    mine = layer(module)
    if mine is None:
        return []
    wrong = []
    for line, name in imports(module):
        if name.split(".")[0] not in OURS:
            continue
        other = target(name)
        theirs = layer(other)
        if theirs == mine:
            continue
        if (theirs or other) not in ALLOWED[mine]:
            wrong.append(f"{module}:{line}: {mine} -> {theirs or other}")
    return wrong


@pytest.mark.parametrize("module", modules("engine", "controllers", "cli"))
def test_imports_point_one_way(module: str) -> None:
    assert wrong_arrows(module) == []


@pytest.mark.parametrize("module", modules("engine"))
def test_the_engine_imports_nothing_of_the_world(module: str) -> None:
    found = [f"{module}:{line}: engine -> {name}" for line, name in imports(module) if name.split(".")[0] in WORLD]
    assert found == []


def test_only_controllers_cluster_imports_a_kubernetes_client() -> None:
    found = [
        f"{module}:{line}: {module} -> {name}"
        for module in modules("controllers", "cli", "engine")
        for line, name in imports(module)
        if name.split(".")[0] in ("kubernetes_asyncio", "kubernetes") and not module.startswith("controllers.cluster")
    ]
    assert found == []


def test_every_module_has_a_layer() -> None:
    faces = {"engine", "controllers"}
    assert [module for module in modules("engine", "controllers", "cli") if layer(module) is None and module not in faces] == []
