"""The published text form of tasks: `<scenario>` blocks of `<inits>`, `<query>` and `<api_call>`, read and never run.

The lines inside are Python. They are parsed to a syntax tree of which only a few forms are known: a module put into a preset
(`vw.window=Window.init1()`), a preset built and thrown away (`Window.init1()`, which still changes what is shared), a preset
or a property of the environment (`Environment.init6()`, `Environment.set_volume(40)`), a call (`vw.door.f(...)`), and `pass`.
"""

from __future__ import annotations

import ast
import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from palaestra.envs.vehicle.calls.call import Call
from palaestra.envs.vehicle.car.tables import ENVIRONMENT, MODULES

_SCENARIO = re.compile(r"<scenario>(.*?)</scenario>", re.DOTALL)


def _class_name(module: str) -> str:
    """Return the name of a module's class: its first letter is a capital."""
    return module[0].upper() + module[1:]


_MODULE_OF = {_class_name(module): module for module in (ENVIRONMENT, *MODULES)}


class ScenarioError(ValueError):
    """A scenario that cannot be read.

    Args:
        field: Part at fault, e.g. "api_call[2]".
        message: What is wrong with it.
        line: Line of the scenario, counted from 0.
    """

    def __init__(self, field: str, message: str, line: int = 0) -> None:
        """Keep the parts."""
        super().__init__(message)
        self.field = field
        self.message = message
        self.line = line


@dataclass(frozen=True, slots=True)
class Scenario:
    """One scenario.

    Attributes:
        id: MD5 of its text, tags included.
        modules: Modules whose name occurs in its inits, in the order of the car.
        init: Set-up steps.
        init_ineffective: Lines that built a preset and did not assign it.
        queries: What is said, in order.
        gold: Gold calls of each `<api_call>`, in order.
    """

    id: str
    modules: tuple[str, ...]
    init: tuple[dict[str, Any], ...]
    init_ineffective: tuple[str, ...]
    queries: tuple[str, ...]
    gold: tuple[tuple[Call, ...], ...] = field(default=())


def split_scenarios(text: str) -> Iterator[tuple[int, str]]:
    """Yield the first line (counted from 1) and the text of every scenario, tags included."""
    line, position = 1, 0
    for match in _SCENARIO.finditer(text):
        line += text.count("\n", position, match.start())
        position = match.start()
        yield line, match.group()


def parse_scenario(text: str) -> Scenario:
    """Read one scenario.

    Raises:
        ScenarioError: If a part is missing or a line is of no known form.
    """
    inits = _parts(text, "inits")
    if len(inits) != 1:
        raise ScenarioError("inits", f"there are {len(inits)} <inits>; expected one")
    (line, body), *_ = inits
    init, ineffective = _parse_init(body, line)
    queries = _parts(text, "query")
    if not queries:
        raise ScenarioError("query", "there is no <query>; expected at least one")
    gold = _parts(text, "api_call")
    if len(gold) < len(queries):
        raise ScenarioError("api_call", f"there are {len(queries)} <query> and {len(gold)} <api_call>; expected one for each")
    return Scenario(
        id=hashlib.md5(text.encode(), usedforsecurity=False).hexdigest(),
        modules=tuple(name for name in MODULES if name in body or _class_name(name) in body),
        init=tuple(init),
        init_ineffective=tuple(ineffective),
        queries=tuple(body.strip() for _, body in queries),
        gold=tuple(tuple(parse_gold(body, f"api_call[{i}]", line)) for i, (line, body) in enumerate(gold)),
    )


def parse_gold(code: str, field: str = "gold", line: int = 0) -> list[Call]:
    """Read the gold calls of one request.

    Args:
        code: The lines; a line break may be written as backslash and n.
        field: Name of the part, for errors.
        line: Its first line in the scenario, for errors.

    Returns:
        The calls. A preset is a call of the preset's name, a shared property a call of `environment.set_...`; see
        `reference.carry_out`.

    Raises:
        ScenarioError: If a line is of no known form.
    """
    calls = []
    for node in _statements(code, field, line):
        where = line + node.lineno - 1
        match node:
            case ast.Pass():
                continue
            case ast.Expr(ast.Call(ast.Attribute(ast.Attribute(ast.Name("vw"), module), function)) as call) if (
                module in MODULES
            ):
                calls.append(Call(module, function, *_arguments(call, field, where)))
            case ast.Expr(ast.Call(ast.Attribute(ast.Name("Environment"), function)) as call):
                calls.append(Call(ENVIRONMENT, function, *_arguments(call, field, where)))
            case ast.Assign([ast.Attribute(ast.Name("vw"), module)], ast.Call() as call) if _preset(call)[0] == module:
                calls.append(Call(module, _preset(call)[1], *_arguments(call, field, where)))
            case _:
                raise ScenarioError(
                    field, f"{ast.unparse(node)!r} is no gold line; expected e.g. vw.MODULE.FUNCTION(...)", where
                )
    return calls


def _parse_init(code: str, line: int) -> tuple[list[dict[str, Any]], list[str]]:
    """Return the set-up steps, and the lines that built a preset without assigning it."""
    steps: list[dict[str, Any]] = []
    ineffective = []
    for node in _statements(code, "inits", line):
        where = line + node.lineno - 1
        match node:
            case ast.Expr(ast.Call(ast.Attribute(ast.Name("Environment"), name)) as call):
                args, kwargs = _arguments(call, "inits", where)
                values = [*args, *kwargs.values()]
                if name.startswith("set_") and len(values) == 1:
                    steps.append({"op": "env_set", "property": name.removeprefix("set_"), "value": values[0]})
                elif not values:
                    steps.append({"op": "env_preset", "preset": name})
                else:
                    raise ScenarioError("inits", f"{ast.unparse(node)!r} sets nothing that is known", where)
            case ast.Expr(ast.Call() as call) if _preset(call)[0]:
                module, preset = _preset(call)
                steps.append({"op": "preset_side_effects_only", "module": module, "preset": preset})
                ineffective.append(ast.unparse(node))
            case ast.Assign([ast.Attribute(ast.Name("vw"), module)], ast.Call() as call) if _preset(call)[0] == module:
                args, kwargs = _arguments(call, "inits", where)
                if args:
                    raise ScenarioError("inits", f"{ast.unparse(node)!r} has arguments without names", where)
                step = {"op": "module_preset", "module": module, "preset": _preset(call)[1]}
                steps.append({**step, "kwargs": kwargs} if kwargs else step)
            case _:
                raise ScenarioError(
                    "inits", f"{ast.unparse(node)!r} is no init line; expected e.g. vw.door=Door.init1()", where
                )
    return steps, ineffective


def _preset(call: ast.Call) -> tuple[str, str]:
    """Return module and preset of `Class.preset(...)`; two empty texts for anything else."""
    match call.func:
        case ast.Attribute(ast.Name(name), preset) if name in _MODULE_OF:
            return _MODULE_OF[name], preset
    return "", ""


def _arguments(call: ast.Call, field: str, line: int) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Return the arguments of a call, which must be literals."""
    try:
        args = tuple(ast.literal_eval(arg) for arg in call.args)
        kwargs = {str(item.arg): ast.literal_eval(item.value) for item in call.keywords if item.arg is not None}
    except (ValueError, TypeError, SyntaxError, RecursionError):
        raise ScenarioError(field, f"{ast.unparse(call)!r} has an argument that is no literal", line) from None
    if len(kwargs) != len(call.keywords):
        raise ScenarioError(field, f"{ast.unparse(call)!r} unpacks arguments; write them out", line)
    return args, kwargs


def _statements(code: str, field: str, line: int) -> list[ast.stmt]:
    """Return the statements of some lines."""
    lines = (part.strip() for part in code.replace("\\n", "\n").splitlines())
    try:
        return ast.parse("\n".join(lines)).body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        inside = (error.lineno or 1) - 1 if isinstance(error, SyntaxError) else 0
        raise ScenarioError(field, f"is no code ({error})", line + inside) from None


def _parts(text: str, tag: str) -> list[tuple[int, str]]:
    """Return the line and the content of every element of a scenario."""
    found = re.finditer(rf"<{tag}>(.*?)</{tag}>", text, re.DOTALL)
    return [(text.count("\n", 0, match.start(1)), match.group(1)) for match in found]
