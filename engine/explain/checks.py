"""What a rule's body found: the same compiled bodies as the engine's, asked again with an eye on the reasons."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from engine.clauses.context import compile_context
from engine.clauses.expressions import ENVIRONMENT, Bindings, Variables, compile_cel
from engine.clauses.template import compile_template
from engine.errors import EngineError, InvalidPolicy, Unknown
from engine.explain.conditions import conditions_step
from engine.explain.expressions import attempt, template_step
from engine.explain.step import ABSENT, Step
from engine.lang.anchors import parse_anchor
from engine.lang.errors import LanguageError
from engine.lang.mismatch import Mismatch
from engine.lang.pattern import compile_pattern
from engine.policy import Rule
from engine.request import Object
from engine.result import Status
from engine.rules import pod_security
from engine.rules.foreach import bind_element, compile_elements
from engine.rules.subject import SubjectScope, subject_of
from engine.scope import Scope


def body_steps(bodies: Mapping[str, Any], scope: Scope, path: str, *, policy_namespace: str, depth: int = 0) -> Iterator[Step]:
    """One step for each key of `bodies` (the value of `validate`, or a foreach entry) that can be explained."""
    for key, explain in BODIES.items():
        if bodies.get(key) is None:
            continue
        try:
            yield explain(bodies[key], scope, f"{path}.{key}", policy_namespace, depth)
        except Unknown as unknown:
            yield Step(key, None, f"{path}.{key}", note=f"not known here: {unknown}")
        except (EngineError, LanguageError) as error:
            yield Step(key, None, f"{path}.{key}", note=str(error))


def _pattern(spec: Any, scope: Scope, path: str, _namespace: str, _depth: int) -> Step:
    return pattern_step("pattern", spec, scope, path)


def pattern_step(title: str, spec: Any, scope: Scope, path: str) -> Step:
    """One pattern: its variables and, where the object does not fit, the place, what is wanted there and what was found."""
    template = compile_template(spec, path=path)
    variables = () if template.constant else template_step("pattern", template, scope, path).steps
    subject = subject_of(scope)
    document = template(scope)
    bad = compile_pattern(document)(subject)
    if bad is None:
        return Step(title, True, path, steps=variables)
    return Step(title, False, path, note=bad.text, steps=(*variables, *_failure(bad, document, subject)))


def _failure(bad: Mismatch, pattern: Any, subject: Any) -> Iterator[Step]:
    steps = [step for step in bad.path.split("/") if step]
    if steps:
        kind = "does not concern the object" if bad.skips else "differs"
        wanted, found = value_in_pattern(pattern, steps), value_at(subject, steps)
        yield Step("/" + "/".join(steps), None if bad.skips else False, wanted=wanted, found=found, note=kind)


def failing_path(rule: Rule) -> Callable[[Object], tuple[str, ...]]:
    """For objects that fail the rule: the keys and indices to the field at fault; nothing unless a pattern without variables
    decides."""
    spec = (rule.document.get("validate") or {}).get("pattern")
    if spec is None:
        return lambda _: ()
    try:
        template = compile_template(spec)
    except InvalidPolicy:
        return lambda _: ()
    if not template.constant:
        return lambda _: ()
    pattern = compile_pattern(template.value)

    def path(object_: Object) -> tuple[str, ...]:
        bad = pattern(object_)
        return () if bad is None else tuple(step for step in bad.path.split("/") if step)

    return path


def value_at(value: Any, steps: list[str]) -> Any:
    """The value that the steps lead to; a step may be a key that itself holds slashes (labels, annotations)."""
    for position, step in enumerate(steps):
        if isinstance(value, dict):
            if step in value:
                value = value[step]
                continue
            for end in range(len(steps), position + 1, -1):
                name = "/".join(steps[position:end])
                if name in value:
                    return value_at(value[name], steps[end:])
            return ABSENT
        if isinstance(value, list) and step.isdigit() and int(step) < len(value):
            value = value[int(step)]
        else:
            return ABSENT
    return value


def value_in_pattern(pattern: Any, steps: list[str]) -> Any:
    """What the pattern says at that place: keys without their anchors, the one element of a list for every index."""
    for step in steps:
        if isinstance(pattern, list):
            if step.isdigit() and pattern:
                pattern = pattern[min(int(step), len(pattern) - 1)]
                continue
            return ABSENT
        if not isinstance(pattern, dict):
            return ABSENT
        for key, member in pattern.items():
            anchor = parse_anchor(key)
            if step == (anchor.name if anchor else key):
                pattern = member
                break
        else:
            return ABSENT
    return pattern


def _any_pattern(spec: Any, scope: Scope, path: str, _namespace: str, _depth: int) -> Step:
    steps = tuple(pattern_step(f"anyPattern[{index}]", pattern, scope, f"{path}[{index}]") for index, pattern in enumerate(spec))
    return Step("anyPattern", any(step.holds for step in steps), path, steps=steps)


def _deny(spec: Any, scope: Scope, path: str, _namespace: str, _depth: int) -> Step:
    conditions = (spec or {}).get("conditions")
    if conditions is None:
        return Step("deny", True, path, note="without conditions it denies everything")
    return conditions_step("deny", conditions, scope, f"{path}.conditions")


def _foreach(spec: Any, scope: Scope, path: str, namespace: str, depth: int) -> Step:
    entries = tuple(_foreach_entry(entry, scope, f"{path}[{index}]", namespace, depth) for index, entry in enumerate(spec or []))
    return Step("foreach", None, path, steps=entries)


def _foreach_entry(entry: Mapping[str, Any], scope: Scope, path: str, namespace: str, depth: int) -> Step:
    text = str(entry.get("list") or "")
    elements = compile_elements(text, path=f"{path}.list")(scope)
    steps = []
    for index, element in enumerate(elements):
        if element is None:
            continue
        within = isinstance(element, dict) if entry.get("elementScope") is None else bool(entry["elementScope"])
        inner = SubjectScope(scope, element) if within else scope.child()
        bind_element(inner, element, index, depth)
        steps.append(
            Step(
                f"element {index}",
                found=element,
                steps=tuple(_element_steps(entry, inner, path, namespace, depth)),
            )
        )
    count = f"{len(elements)} element{'' if len(elements) == 1 else 's'}"
    return Step(text, path=path, note=count, steps=tuple(steps))


def _element_steps(entry: Mapping[str, Any], scope: Scope, path: str, namespace: str, depth: int) -> Iterator[Step]:
    if entry.get("context"):
        yield context_step(entry["context"], scope, f"{path}.context", namespace)
    if entry.get("preconditions") is not None:
        step = conditions_step("preconditions", entry["preconditions"], scope, f"{path}.preconditions")
        yield step
        if not step.holds:
            return
    yield from body_steps(entry, scope, path, policy_namespace=namespace, depth=depth + 1)


def _pod_security(spec: Any, scope: Scope, path: str, _namespace: str, _depth: int) -> Step:
    outcome = pod_security.compile_check(spec, rule="", message=None, path=path)(scope)
    controls = json.loads(outcome.properties.get("controlsJSON") or "[]")
    steps = tuple(
        Step(str(control["Name"]), False, found=control["ID"], note=", ".join(control.get("Images") or ()))
        for control in controls
    )
    level = f"podSecurity {spec.get('level') or ''}".strip()
    return Step(level, outcome.status is Status.PASS, path, steps=steps)


def _cel(spec: Any, scope: Scope, path: str, _namespace: str, _depth: int) -> Step:
    if spec.get("paramKind"):
        return Step("cel", None, path, note="with parameters: see the outcome")
    return Step("cel", *_cel_steps(spec, "expressions", scope, path))


def admission_steps(spec: Mapping[str, Any], scope: Scope, path: str) -> Iterator[Step]:
    """The match conditions and validations of a ValidatingAdmissionPolicy, whose spec stands at `path`."""
    if spec.get("paramKind"):
        yield Step("validations", None, path, note="with parameters: see the outcome")
        return
    if spec.get("matchConditions"):
        yield match_conditions_step("matchConditions", spec["matchConditions"], scope, f"{path}.matchConditions")
    yield Step("validations", *_cel_steps(spec, "validations", scope, path))


def match_conditions_step(title: str, entries: list[Any], scope: Scope, path: str) -> Step:
    """CEL conditions that all have to hold."""
    bindings = Bindings(scope)
    steps = []
    for index, entry in enumerate(entries):
        program = compile_cel(entry.get("expression"), ENVIRONMENT, path=f"{path}[{index}]")
        found, note = attempt(program, bindings)
        steps.append(
            Step(str(entry.get("name") or ""), found is True, f"{path}[{index}]", wanted=program.text.strip(), note=note)
        )
    return Step(title, all(step.holds for step in steps), path, steps=tuple(steps))


def _cel_steps(spec: Mapping[str, Any], key: str, scope: Scope, path: str) -> tuple[bool, str, Any, Any, str, tuple[Step, ...]]:
    """What a Step says beside its title of variables and of the expressions in `key`."""
    variables = Variables(spec.get("variables") or (), ENVIRONMENT, path=f"{path}.variables")
    bindings = Bindings(scope, variables=variables)
    steps = []
    for index, name in enumerate(variables.programs):
        found, note = attempt(bindings.field, f"variables.{name}")
        steps.append(Step(f"variables.{name}", path=f"{path}.variables[{index}]", found=_plain(found), note=note))
    holds = True
    for index, entry in enumerate(spec.get(key) or ()):
        where = f"{path}.{key}[{index}]"
        program = compile_cel(entry.get("expression"), variables.environment, path=where)
        found, note = attempt(program, bindings)
        holds = holds and found is True
        steps.append(Step(program.text.strip(), found is True, where, found=_plain(found), note=note))
    return holds, f"{path}.{key}", ABSENT, ABSENT, "", tuple(steps)


def _plain(value: Any) -> Any:
    """A CEL value as JSON shows it; what JSON does not have as text."""
    if value is ABSENT or value is None or isinstance(value, str | bool | int | float):
        return value
    if isinstance(value, Mapping):
        return {str(key): _plain(member) for key, member in value.items()}
    return [_plain(member) for member in value] if isinstance(value, list | tuple) else str(value)


def context_step(entries: list[Any], scope: Scope, path: str, policy_namespace: str, *, bound: bool = False) -> Step:
    """Every context entry with its value. `bound`: the entries are bound in the scope already."""
    if not bound:
        compile_context(entries, path=path, policy_namespace=policy_namespace)(scope)
    steps = []
    for index, entry in enumerate(entries):
        name = str(entry["name"])
        found, note = attempt(scope.field, name)
        steps.append(Step(name, path=f"{path}[{index}]", found=found, note=note))
    return Step("context", path=path, steps=tuple(steps))


Explain = Callable[[Any, Scope, str, str, int], Step]
BODIES: dict[str, Explain] = {
    "pattern": _pattern,
    "anyPattern": _any_pattern,
    "deny": _deny,
    "foreach": _foreach,
    "podSecurity": _pod_security,
    "cel": _cel,
}
"""Bodies that are explained beyond their outcome: (value, scope, path, policy namespace, foreach depth) -> step."""
