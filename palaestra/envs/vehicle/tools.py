"""Native function calling: which tools are offered at a moment of an episode, and what those that read and choose return."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from functools import cache
from typing import Any

from palaestra.envs.tools.copies import Copies
from palaestra.envs.vehicle.calls.call import Call
from palaestra.envs.vehicle.calls.schemas import call_of_tool, tool_name, tool_schemas
from palaestra.envs.vehicle.car.call_result import Refusal
from palaestra.envs.vehicle.car.descriptions import module_list
from palaestra.envs.vehicle.car.tables import ENVIRONMENT, MODULES, car_tables
from palaestra.envs.vehicle.car.views import plain_state
from palaestra.envs.vehicle.protocol import MAX_SELECTED, Progress, Rules
from palaestra.envs.vehicle.world import VehicleWorld
from palaestra.types import Json, ToolCall, ToolResult

SELECT, LIST, OPEN, READ = "select_modules", "get_modules", "get_module_API", "to_dict"


def offered_modules(rules: Rules, visible: Sequence[str], asked: Sequence[str], progress: Progress) -> tuple[str, ...]:
    """Return the modules whose functions an agent may call now.

    Args:
        rules: Rules of the episode.
        visible: Modules that there are.
        asked: Modules that the task lists.
        progress: Where the episode stands.
    """
    if rules.mode == "hybrid":
        return progress.selected
    if not rules.native or rules.tool_scope == "all":
        return tuple(visible)
    if rules.tool_scope == "modules":
        return tuple(module for module in visible if module in asked)
    return progress.opened


def offered_tools(rules: Rules, visible: Sequence[str], asked: Sequence[str], progress: Progress) -> list[dict[str, Json]]:
    """Return the OpenAI function schemas that are offered now."""
    fixed: tuple[str, ...]
    if rules.mode == "hybrid":
        scope = {"all": visible, "modules": asked, "selected": progress.selected}[rules.tool_scope]
        choose = rules.tool_scope != "selected" or progress.stage != "act"
        fixed = (SELECT,) if choose else ()
    else:
        scope = offered_modules(rules, visible, asked, progress)
        fixed = (LIST, OPEN, READ) if rules.tool_scope == "selected" else (READ,)
    names = [module for module in visible if module in scope]
    schemas = [_own_tool(name, tuple(visible)).one() for name in fixed]
    for module in names:
        schemas += _module_tools(module).one()
    return schemas


def call_of(call: ToolCall) -> Call | Refusal:
    """Return the call of the car that a tool call stands for, or why it stands for none."""
    try:
        return call_of_tool(car_tables(), call)
    except Refusal as refusal:
        return refusal


def tool_call(call: Call, call_id: str = "") -> ToolCall | None:
    """Return the tool call that says a call of the car, or None if there is no such tool or an argument has no name."""
    function = car_tables().module(call.module).functions.get(call.function)
    if function is None:
        return None
    names = [param.name for param in function.params]
    if len(call.args) > len(names):
        return None
    arguments = {**dict(zip(names, call.args, strict=False)), **call.kwargs}
    return ToolCall(tool_name(function), arguments, call_id)


def look_up(
    world: VehicleWorld, call: ToolCall, offered: Collection[str], visible: Sequence[str]
) -> tuple[ToolResult, tuple[str, ...]]:
    """Answer a tool call that does not act on the car.

    Args:
        world: The car; only read.
        call: The call.
        offered: Modules whose functions are offered.
        visible: Modules that there are.

    Returns:
        The result, and the modules whose functions are offered from now on.
    """
    if not call.name:
        return _refused(call, "This call could not be read; write one JSON object of arguments."), ()
    if isinstance(call.arguments, str):
        return _refused(call, "The arguments are no JSON object.", "invalid_arguments"), ()
    if call.name == LIST:
        found = {name: text for name, text in module_list(world.tables).items() if name in visible or name == ENVIRONMENT}
        return ToolResult(call.name, _json(found), "ok", call.id), ()
    if call.name in (OPEN, READ):
        known = visible if call.name == OPEN else (ENVIRONMENT, *visible)
        names = _names_given(call.arguments.get("modules"), known)
        if isinstance(names, str):
            return _refused(call, names, "invalid_arguments"), ()
        if call.name == READ:
            return ToolResult(call.name, _json(plain_state(world, names)), "ok", call.id), ()
        return ToolResult(call.name, f"Offered from now on: the functions of {', '.join(names)}.", "ok", call.id), tuple(names)
    meant = call_of(call)
    if isinstance(meant, Call):
        shown = ", ".join(name for name in MODULES if name in offered) or "none"
        return _refused(call, f"The functions of {meant.module} are not offered now; offered are those of: {shown}."), ()
    return _refused(call, meant.message, "unknown_tool" if meant.code == "unknown_function" else "invalid_arguments"), ()


def chosen(call: ToolCall) -> list[str] | None:
    """Return the names that a call of `select_modules` gives, or None if the call is another or gives none."""
    if call.name != SELECT or isinstance(call.arguments, str):
        return None
    names = call.arguments.get("modules")
    if isinstance(names, str):
        names = [names]
    return names if isinstance(names, list) and all(isinstance(name, str) for name in names) else None


def _refused(call: ToolCall, message: str, status: Any = "error") -> ToolResult:
    """Return the result of a call that was not carried out."""
    return ToolResult(call.name, f"Error: {message} Nothing was done.", status, call.id)


def _names_given(value: Any, known: Sequence[str]) -> list[str] | str:
    """Return the modules named by an argument, or what is wrong with it."""
    names = [value] if isinstance(value, str) else value
    if not isinstance(names, list) or not names or not all(isinstance(name, str) for name in names):
        return "modules is a list of names of modules."
    unknown = [name for name in names if name not in known]
    if unknown:
        return f"There is no module {unknown[0][:60]!r}; there are: {', '.join(known)}."
    return list(dict.fromkeys(names))


def _own_tool(name: str, visible: tuple[str, ...]) -> Copies[dict[str, Json]]:
    """Return the schema of a tool that reads or chooses."""
    docs = {
        SELECT: f"Choose the modules whose functions the request needs, at most {MAX_SELECTED}.",
        LIST: "List the modules of the car, a line each.",
        OPEN: "Have the functions of modules offered as tools from now on.",
        READ: "Read the present state of modules.",
    }
    known = list(visible) if name in (SELECT, OPEN) else [ENVIRONMENT, *visible]
    modules = {
        "type": "array",
        "items": {"type": "string", "enum": known},
        "minItems": 1,
        "description": "Names of modules.",
    }
    properties = {} if name == LIST else {"modules": modules}
    parameters = {"type": "object", "properties": properties, "required": list(properties), "additionalProperties": False}
    return Copies({"type": "function", "function": {"name": name, "description": docs[name], "parameters": parameters}})


@cache
def _module_tools(module: str) -> Copies[list[dict[str, Json]]]:
    """Return the schemas of a module's functions."""
    return Copies(tool_schemas(car_tables(), [module]))


def _json(value: Any) -> str:
    """Return compact JSON."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


__all__ = ["LIST", "OPEN", "READ", "SELECT", "call_of", "chosen", "look_up", "offered_modules", "offered_tools", "tool_call"]
