"""The tools of the items that this package makes itself: their documents, values for their parameters, results.

A tool's result follows from its call alone, so that a wrong call has a result of its own.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

import numpy as np

from palaestra.envs.core.snapshots import digest
from palaestra.types import Json

_DOCUMENT_TYPES = {"count": "integer", "amount": "integer", "price": "float", "flag": "boolean", "people": "array"}
"""Types of documents by kind of value; the others are texts."""
_TEXT = "string"
_LETTERS = "BCDFGHJKLMNPQRSTVWXZ"


@dataclass(frozen=True)
class Parameter:
    """A parameter of a tool.

    Attributes:
        name: Its name.
        kind: Kind of its values: "town", "date", "count", ...
        about: What it is, for agents.
        is_required: Whether a call needs it.
        choices: The words that it may be, for kind "choice".
    """

    name: str
    kind: str
    about: str
    is_required: bool
    choices: tuple[str, ...] = ()

    def draw(self, rng: np.random.Generator) -> Json:
        """Draw a value."""
        match self.kind:
            case "choice":
                return str(one_of(self.choices, rng))
            case "flag":
                return True
            case "people":
                first = int(rng.integers(len(words()["person"])))
                step = int(rng.integers(1, 4))
                return [words()["person"][(first + step * place) % len(words()["person"])] for place in range(2)]
            case "date":
                return f"2031-{rng.integers(1, 13):02}-{rng.integers(1, 29):02}"
            case "time":
                return f"{rng.integers(7, 22):02}:{15 * rng.integers(4):02}"
            case "count":
                return int(rng.integers(1, 10))
            case "amount":
                return 15 * int(rng.integers(1, 13))
            case "price":
                return int(rng.integers(10, 400)) + 0.5
            case "code":
                letters = "".join(one_of(_LETTERS, rng) for _ in range(2))
                return f"{letters}-{rng.integers(100, 1000)}"
        return str(one_of(words()[self.kind], rng))

    def document(self) -> dict[str, Json]:
        """Return the parameter as a document has it."""
        return {"name": self.name, "type": _DOCUMENT_TYPES.get(self.kind, _TEXT), "description": self.about}


@dataclass(frozen=True)
class Tool:
    """A tool.

    Attributes:
        name: Its name; the word before the first underscore is its domain.
        about: What it does, for agents.
        parameters: Required ones first.
        ask: Phrasings of a request with the required parameters.
        options: What a request says about an optional parameter.
        returns: Kinds of the values of a result, by name.
    """

    name: str
    about: str
    parameters: tuple[Parameter, ...]
    ask: tuple[str, ...]
    options: Mapping[str, str]
    returns: tuple[Parameter, ...]

    @property
    def domain(self) -> str:
        """The subject that it belongs to."""
        return self.name.partition("_")[0]

    def document(self) -> dict[str, Json]:
        """Return the document of the tool."""
        return {
            "name": self.name,
            "description": self.about,
            "required_parameters": [one.document() for one in self.parameters if one.is_required],
            "optional_parameters": [one.document() for one in self.parameters if not one.is_required],
            "return_data": [{"name": one.name, "description": ""} for one in self.returns],
        }

    def parameter(self, name: str) -> Parameter | None:
        """Return the parameter of this name, None if there is none."""
        return next((one for one in self.parameters if one.name == name), None)

    def result(self, args: Mapping[str, Json]) -> str:
        """Return the result of a call: the same for the same call, as JSON."""
        rng = np.random.default_rng(int(digest([self.name, dict(args)])[:12], 16))
        return json.dumps({one.name: one.draw(rng) for one in self.returns}, ensure_ascii=False)

    def request(self, args: Mapping[str, Json], rng: np.random.Generator) -> str:
        """Return the words that ask for a call."""
        shown = {name: _shown(value) for name, value in args.items()}
        said: str = one_of(self.ask, rng).format(**shown)
        return said + "".join(self.options[name].format(**shown) for name in args if name in self.options)


def problem_of(tool: Tool | None, name: str, args: Mapping[str, Json]) -> str:
    """Return the words of a tool about a call that it cannot take, "" if it can.

    Args:
        tool: The tool of this name, None if there is none.
        name: The name that was called.
        args: The arguments.
    """
    if tool is None:
        return f"Error: there is no tool {name!r}."
    for parameter in tool.parameters:
        if parameter.is_required and parameter.name not in args:
            return f"Error: {name} needs the parameter {parameter.name!r}."
    for key, value in args.items():
        found = tool.parameter(key)
        if found is None:
            return f"Error: {name} has no parameter {key!r}."
        if not _fits(found, value):
            return f"Error: {key!r} of {name} is {json.dumps(value, ensure_ascii=False)}. {found.about}"
    return ""


def one_of(values: Any, rng: np.random.Generator) -> Any:
    """Return one of some values."""
    return values[int(rng.integers(len(values)))]


@cache
def made() -> Mapping[str, Tool]:
    """Return the tools by name."""
    return {name: _tool(name, data) for name, data in _data()["tools"].items()}


def words() -> Mapping[str, list[str]]:
    """Return the words by kind."""
    found: dict[str, list[str]] = _data()["words"]
    return found


def texts(part: str) -> Mapping[str, Any]:
    """Return a part of the data: "orders" or "synonyms"."""
    found: dict[str, Any] = _data()[part]
    return found


@cache
def _data() -> dict[str, Any]:
    """Return the data of the package."""
    return tomllib.loads((files("palaestra.envs.critic") / "made_tools.toml").read_text(encoding="utf-8"))


def _tool(name: str, data: Mapping[str, Any]) -> Tool:
    """Return a tool from its data."""
    parameters = [_parameter(key, found, True) for key, found in data.get("required", {}).items()]
    parameters += [_parameter(key, found, False) for key, found in data.get("optional", {}).items()]
    returns = tuple(_parameter(key, (kind, ""), True) for key, kind in data["returns"].items())
    return Tool(name, data["about"], tuple(parameters), tuple(data["ask"]), data.get("options", {}), returns)


def _parameter(name: str, found: tuple[str, str], is_required: bool) -> Parameter:
    """Return a parameter from its data."""
    kind, _, choices = found[0].partition(":")
    return Parameter(name, kind, found[1], is_required, tuple(choices.split(",")) if choices else ())


def _fits(parameter: Parameter, value: Json) -> bool:
    """Whether a value has the form that a parameter asks for."""
    match parameter.kind:
        case "choice":
            return value in parameter.choices
        case "flag":
            return isinstance(value, bool)
        case "people":
            return isinstance(value, list) and all(isinstance(one, str) for one in value)
        case "count" | "amount":
            most = 9 if parameter.kind == "count" else 10_000
            return isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= most
        case "price":
            return isinstance(value, int | float) and not isinstance(value, bool) and value >= 0
        case "date":
            return isinstance(value, str) and len(value) == 10 and value[4::3] == "--" and value.replace("-", "").isdecimal()
        case "time":
            return isinstance(value, str) and len(value) == 5 and value[2] == ":" and value.replace(":", "").isdecimal()
    return isinstance(value, str) and bool(value)


def _shown(value: Json) -> str:
    """Return a value as a request says it."""
    return " and ".join(value) if isinstance(value, list) else str(value)


__all__ = ["Parameter", "Tool", "made", "one_of", "problem_of", "texts", "words"]
