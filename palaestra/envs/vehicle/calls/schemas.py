"""The functions of a car as an agent is told them, all made from the tables.

`api_text` shows functions as signatures, `tool_schemas` as OpenAI tools; `call_of_tool` is the way back.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from functools import cache

from palaestra.envs.vehicle.calls.call import Call
from palaestra.envs.vehicle.calls.expressions import Limits, plain
from palaestra.envs.vehicle.calls.targets import Targets
from palaestra.envs.vehicle.car.call_result import Refusal
from palaestra.envs.vehicle.car.descriptions import plain_name, range_words
from palaestra.envs.vehicle.car.tables import ENVIRONMENT, SEATS, CarTables, Function, Module, Param
from palaestra.errors import unknown_name
from palaestra.types import Json, ToolCall

_MAX_TOOL_NAME = 64  # the longest name that OpenAI-compatible servers take
_PARAM_DOCS = {
    "value": "how much, in `unit`",
    "unit": "unit of `value`",
    "degree": "how much in a word, instead of value and unit",
}
_NOTES = (
    "Call as vw.<module>.<function>(...). `= default` marks arguments that may be left out. A quantity is given by value and "
    "unit together, or by degree; with neither, increase and decrease move by a usual step. Places are lists of names, e.g. "
    f'seats: {", ".join(SEATS)}; "all" stands for every place. A call returns ok, data, changed and error.'
)


def api_text(tables: CarTables, modules: Collection[str] | None = None) -> str:
    """Return the functions of some modules as signatures with explanations.

    Args:
        tables: Description of the car.
        modules: Modules to show, in this order; None for all.

    Raises:
        UnknownNameError: For a module that does not exist.
    """
    shown = [_module_api(tables, name) for name in (tables.modules if modules is None else modules)]
    return "\n\n".join([_NOTES, *shown])


def tool_schemas(tables: CarTables, modules: Collection[str] | None = None) -> list[dict[str, Json]]:
    """Return functions as OpenAI function schemas, named `module__function`.

    Names that would be longer than servers take leave out the repeated prefix (see `tool_name`).

    Args:
        tables: Description of the car.
        modules: Modules whose functions to show; None for all.
    """
    names = [name for name in tables.modules if modules is None or name in modules]
    return [_tool_schema(tables, function) for name in names for function in tables.modules[name].functions.values()]


def tool_name(function: Function) -> str:
    """Return the name of a function as a tool: `module__function`, shortened if it is longer than 64 characters."""
    name = f"{function.module}__{function.name}"
    if len(name) <= _MAX_TOOL_NAME:
        return name
    return f"{function.module}__{function.name.removeprefix('carcontrol_').removeprefix(f'{function.module}_')}"


def call_of_tool(tables: CarTables, tool_call: ToolCall) -> Call:
    """Return the call that a tool call stands for.

    Args:
        tables: Description of the car.
        tool_call: Named as in `tool_schemas` (the full `module__function` is understood too).

    Raises:
        Refusal: unknown_function for an unknown name, invalid_type if the arguments are not a JSON object of plain values.
    """
    names = _tool_names(tables)
    if tool_call.name not in names:
        error = unknown_name("function", tool_call.name, names, hint="Use one of the tools offered.")
        raise Refusal("unknown_function", str(error))
    module, function = names[tool_call.name]
    if not isinstance(tool_call.arguments, Mapping):
        raise Refusal("invalid_type", f"The arguments of {tool_call.name} are no JSON object: {tool_call.arguments[:80]!r}.")
    arguments = plain(dict(tool_call.arguments), Limits(), f"The arguments of {tool_call.name}")
    return Call(module, function, (), arguments)


@cache
def _tool_names(tables: CarTables) -> dict[str, tuple[str, str]]:
    """Return the function behind each name of a tool."""
    names: dict[str, tuple[str, str]] = {}
    for module in tables.modules.values():
        for function in module.functions.values():
            for name in (tool_name(function), f"{module.name}__{function.name}"):
                names[name] = (module.name, function.name)
    return names


# -- functions ----------------------------------------------------------------------------------------------------------


@cache
def _module_api(tables: CarTables, name: str) -> str:
    """Return the functions of one module."""
    module = tables.module(name)
    lines = [f"# {name}: {module.summary or plain_name(name)}"]
    if name == ENVIRONMENT:
        lines.append("No functions; other modules write it. Read it with vw.environment.to_dict().")
    for function in module.functions.values():
        lines.append(f"vw.{name}.{_signature(function)}")
        if function.doc:
            lines.append(f"    {function.doc}")
        for param in function.params:
            if explained := _explain(function, param, module):
                lines.append(f"    {param.name}: {explained}")
    return "\n".join(lines)


def _signature(function: Function) -> str:
    """Return name and parameters, Python-like."""
    params = []
    for param in function.params:
        text = f"{param.name}: {_type_words(param)}"
        params.append(text if param.required else f"{text} = {param.default!r}")
    return f"{function.name}({', '.join(params)})"


def _type_words(param: Param) -> str:
    """Return the type of a parameter as it stands in a signature."""
    if param.enum:
        return " | ".join(repr(word) for word in param.enum)
    return {"number": "float", "targets": "list[str]"}.get(param.type, param.type)


def _explain(function: Function, param: Param, module: Module) -> str:
    """Return what a signature does not say of a parameter."""
    parts = [param.doc.rstrip(".")]
    targets = Targets.of(function, module.settings)
    if targets is not None and targets.param == param.name and not param.doc:
        parts.append("seats" if targets.places == SEATS else ", ".join(targets.places))
        if not param.required:
            omitted = {"speaker": "the speaker's own", "all": "all of them"}.get(targets.omitted, targets.omitted)
            parts.append(f"left out: {omitted}")
    if param.low is not None or param.high is not None:
        parts.append(range_words(param.low, param.high))
    return "; ".join(part for part in parts if part)


def _tool_schema(tables: CarTables, function: Function) -> dict[str, Json]:
    """Return one function as an OpenAI function schema."""
    module = tables.modules[function.module]
    properties = {param.name: _param_schema(function, param, module) for param in function.params}
    return {
        "type": "function",
        "function": {
            "name": tool_name(function),
            "description": function.doc or f"{plain_name(function.name)} ({function.module}).",
            "parameters": {
                "type": "object",
                "properties": properties,
                "required": [param.name for param in function.params if param.required],
                "additionalProperties": False,
            },
        },
    }


def _param_schema(function: Function, param: Param, module: Module) -> dict[str, Json]:
    """Return the JSON schema of one parameter."""
    schema: dict[str, Json]
    if param.type == "bool":
        schema = {"type": "boolean"}
    elif param.type in ("int", "number"):
        schema = {"type": "integer" if param.type == "int" else "number"}
        schema.update({key: value for key, value in (("minimum", param.low), ("maximum", param.high)) if value is not None})
    elif param.type == "str":
        schema = {"type": "string"} | ({"enum": list(param.enum)} if param.enum else {})
    else:
        items: dict[str, Json] = {"type": "string"}
        targets = Targets.of(function, module.settings)
        if targets is not None and targets.param == param.name:
            items["enum"] = [*targets.places, "all"]
        schema = {"type": "array", "items": items}
    if explained := _explain(function, param, module) or _PARAM_DOCS.get(param.name, ""):
        schema["description"] = explained
    return schema
