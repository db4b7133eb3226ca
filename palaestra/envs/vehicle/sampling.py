"""Well-formed messages of each mode, drawn at random: what `action_space.sample()` gives."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from palaestra.envs.formats.hermes import format_message
from palaestra.envs.vehicle.calls.call import Call
from palaestra.envs.vehicle.car.tables import ENVIRONMENT, MODULES, SEATS, Param, Property, car_tables
from palaestra.envs.vehicle.protocol import Rules
from palaestra.envs.vehicle.tools import OPEN, SELECT, tool_call
from palaestra.envs.vehicle.writes import Write, format_writes
from palaestra.types import Message, ToolCall

DECLINE_RATE = 0.05
WORDS = ("Central Station", "Emma", "naïve", "日本", "tram 4", "the zoo", "a<b", '"quoted"', "🙂")


@dataclass(frozen=True)
class CarSampler:
    """Sampler of messages; plain data, so it pickles.

    Attributes:
        rules: Rules of the episodes; modes with a choice of modules draw choices and acts in equal shares.
    """

    rules: Rules

    def __call__(self, rng: np.random.Generator) -> str:
        """Draw a message."""
        if rng.random() < DECLINE_RATE:
            return WORDS[int(rng.integers(len(WORDS)))]
        if self.rules.has_selection and rng.random() < 0.5:
            return self._selection(rng)
        if self.rules.mode == "sfc":
            writes = [draw_write(rng) for _ in range(int(rng.integers(1, 4)))]
            syntax = ("python", "map", "operations")[int(rng.integers(3))]
            text = format_writes(writes, syntax=syntax, wrapped=self.rules.state_form == "wrapped")  # type: ignore[arg-type]
            return f"```{'python' if syntax == 'python' else 'json'}\n{text}\n```"
        if self.rules.native:
            return self._tool_calls(rng)
        lines = [self._line(rng) for _ in range(int(rng.integers(1, 4)))]
        return "\n".join(["```python", *lines, "```"])

    def _selection(self, rng: np.random.Generator) -> str:
        """Draw a choice of one to six modules."""
        names = [MODULES[int(index)] for index in rng.permutation(len(MODULES))[: int(rng.integers(1, 7))]]
        if self.rules.native:
            return format_message(Message("assistant", tool_calls=(ToolCall(SELECT, {"modules": names}),)))
        return "\n".join(["<modules>", *names, "</modules>"])

    def _tool_calls(self, rng: np.random.Generator) -> str:
        """Draw one or two native calls in their text form."""
        calls: list[ToolCall] = []
        if self.rules.loads_tools and self.rules.mode == "fc" and rng.random() < 0.5:
            calls.append(ToolCall(OPEN, {"modules": [MODULES[int(rng.integers(len(MODULES)))]]}))
        call = tool_call(draw_call(rng))
        calls += [] if call is None else [call]
        return format_message(Message("assistant", tool_calls=tuple(calls)))

    def _line(self, rng: np.random.Generator) -> str:
        """Draw a line of code: mostly a call that acts."""
        kind = rng.random()
        if kind < 0.1:
            return "get_modules()"
        if kind < 0.25:
            return f"vw.{(ENVIRONMENT, *MODULES)[int(rng.integers(len(MODULES) + 1))]}.to_dict()"
        return draw_call(rng).code()


def draw_call(rng: np.random.Generator) -> Call:
    """Draw a call of any function, with arguments of the right types."""
    rows = _functions()
    row = rows[int(rng.integers(len(rows)))]
    names = {param.name for param in row.params}
    by_degree = "degree" in names and bool(rng.random() < 0.5)
    arguments: dict[str, Any] = {}
    for param in row.params:
        if param.name in ("value", "unit", "degree") and "degree" in names:
            if (param.name == "degree") == by_degree:
                arguments[param.name] = _argument(param, rng)
        elif param.required or rng.random() < 0.5:
            arguments[param.name] = _argument(param, rng)
    return Call(row.module, row.name, (), arguments)


def draw_write(rng: np.random.Generator) -> Write:
    """Draw a write of any scalar property that can be written, within its range."""
    rows = _writable()
    row = rows[int(rng.integers(len(rows)))]
    paths = row.paths()
    return Write("set", paths[int(rng.integers(len(paths)))], _value(row, rng))


def _argument(param: Param, rng: np.random.Generator) -> Any:
    """Draw an argument."""
    if param.type == "bool":
        return bool(rng.integers(2))
    if param.type in ("int", "number"):
        return int(rng.integers(int(param.low or 0), int(100 if param.high is None else param.high) + 1))
    words = param.enum or ((*SEATS, "all") if param.type == "targets" else WORDS)
    word = words[int(rng.integers(len(words)))]
    return [word] if param.type in ("targets", "list[str]") else word


def _value(row: Property, rng: np.random.Generator) -> Any:
    """Draw a value of a property."""
    if row.type == "bool":
        return bool(rng.integers(2))
    if row.type == "enum":
        return row.enum[int(rng.integers(len(row.enum)))]
    if row.type == "str":
        return WORDS[int(rng.integers(len(WORDS)))]
    return int(rng.integers(int(row.low or 0), int(100 if row.high is None else row.high) + 1))


@cache
def _functions() -> list[Any]:
    """Return the rows of all functions."""
    return [row for module in MODULES for row in car_tables().modules[module].functions.values()]


@cache
def _writable() -> list[Property]:
    """Return the rows of scalar properties that can be written."""
    rows = [row for module in car_tables().modules.values() for row in module.properties]
    return [row for row in rows if not row.constant and row.type in ("bool", "int", "float", "str", "enum")]


__all__ = ["CarSampler", "draw_call", "draw_write"]
