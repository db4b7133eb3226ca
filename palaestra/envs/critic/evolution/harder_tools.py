"""Documents of tools that are harder to read: verbose or terse, hints in other places, examples left out.

Names, parameters, types and what is required stay.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from palaestra.envs.critic.evolution.parts import Refused, with_tools
from palaestra.envs.critic.evolution.texts import one_of, texts
from palaestra.envs.critic.record import Record
from palaestra.types import Json

_EXAMPLE = re.compile(
    r"\s*\((?:e\.g\.|for example|such as)[^()]*\)|,?\s*(?:e\.g\.|for example|such as) [^.;()]*", re.IGNORECASE
)
_HINT = re.compile(r"^([^,:]{4,}), ([^.,]+)\.?$")  # of one comma, so that no list is cut


def harder_tools(record: Record, rng: np.random.Generator) -> Record:
    """Return an item whose tools are described in other words.

    Args:
        record: The item.
        rng: Source of chance.

    Raises:
        Refused: If there is nothing to describe otherwise.
    """
    tools = [_rewritten(tool, rng) for tool in record.tools]
    if tools == record.tools:
        raise Refused("harder_tools:same")
    return with_tools(record, tools)


def document_problems(before: Sequence[Mapping[str, Any]], after: Sequence[Mapping[str, Any]]) -> list[str]:
    """Say what other than descriptions differs between tools, one by one.

    Args:
        before: OpenAI schemas of the tools.
        after: The same tools, described in other words.
    """
    if [tool["function"]["name"] for tool in before] != [tool["function"]["name"] for tool in after]:
        return ["The tools, or their order, are not the same."]
    found = []
    for old, new in zip(before, after, strict=True):
        name = old["function"]["name"]
        if _bare_function(old) != _bare_function(new):
            found.append(f"{name!r} differs in more than its descriptions.")
        if old["function"].get("description") and not str(new["function"].get("description", "")).strip():
            found.append(f"{name!r} lost its description.")
    return found


def bare(schema: Json) -> Json:
    """Return a schema without descriptions and examples; properties of these names stay."""
    if isinstance(schema, list):
        return [bare(one) for one in schema]
    if not isinstance(schema, Mapping):
        return schema
    found: dict[str, Json] = {}
    for key, value in schema.items():
        if key in ("properties", "patternProperties", "$defs", "definitions") and isinstance(value, Mapping):
            found[key] = {name: bare(one) for name, one in value.items()}
        elif key in ("enum", "const", "default", "x-document"):
            found[key] = value
        elif key not in ("description", "examples"):
            found[key] = bare(value)
    return found


def _bare_function(tool: Mapping[str, Any]) -> dict[str, Json]:
    """Return a tool without its descriptions."""
    function = {key: value for key, value in tool["function"].items() if key not in ("description", "parameters")}
    return {**function, "parameters": bare(tool["function"]["parameters"])}


def _rewritten(tool: Mapping[str, Any], rng: np.random.Generator) -> dict[str, Json]:
    """Return a tool in other words."""
    found: dict[str, Any] = copy.deepcopy(dict(tool))
    function, templates = found["function"], texts("tools")
    about = str(function.get("description", ""))
    hints = []
    for name, one in function["parameters"]["properties"].items():
        if not isinstance(one, dict):
            continue
        one.pop("examples", None)
        said = _EXAMPLE.sub("", str(one.get("description", ""))).strip()
        moved = _HINT.match(said)
        if moved is not None and rng.random() < 0.6:
            said = f"{moved[1]}."
            hints.append(templates["hint"].format(name=name, hint=moved[2]))
        elif said and rng.random() < 0.3:
            said = one_of(templates["verbose_parameter"], rng).replace("{about}", said)
        if "description" in one:
            one["description"] = said
    if about:
        terse = _EXAMPLE.sub("", about).partition(". ")[0].rstrip(".") + "."
        is_terse = rng.random() < 0.35 and terse != about
        about = terse if is_terse else one_of(templates["verbose"], rng).replace("{about}", about)
        function["description"] = " ".join([about, *hints])
    elif hints:
        function["description"] = " ".join(hints)
    return found


__all__ = ["bare", "document_problems", "harder_tools"]
