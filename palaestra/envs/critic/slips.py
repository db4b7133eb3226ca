"""Wrong versions of a right call of our own tools; each is checked to be wrong in the way of its label and in no other.

The mutators of `palaestra.envs.wrappers.injection` take any tools, and need the extra that validates schemas; made items are
to be there without it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from palaestra.envs.critic.made_tools import Parameter, Tool, one_of, texts
from palaestra.types import Json

Call = tuple[str, dict[str, Json]]
Slip = tuple[str, dict[str, Json], str]
"""Name and arguments of the wrong call, and its kind."""

_BROKEN: Mapping[str, Sequence[Json]] = {
    "date": ("4 March", "tomorrow", "2031/03/04"),
    "time": ("noon", "9 o'clock", "late"),
    "count": ("two", 0, 40),
    "amount": ("an hour", -15, "long"),
    "price": ("cheap", "100 at most", -1.5),
    "flag": ("yes", 1, "true"),
    "choice": ("other", "any", "best"),
    "people": ("everybody", 2, {"all": True}),
}
"""Values that a parameter refuses, by kind."""


def slip(label: str, tool: Tool, args: Mapping[str, Json], listed: Sequence[Tool], rng: np.random.Generator) -> Slip | None:
    """Return a wrong version of a right call; None where the call has none of this label.

    Args:
        label: The error to make.
        tool: The tool of the right call.
        args: Its arguments.
        listed: The tools that there are.
        rng: Source of chance.
    """
    make = {
        "tool_select_error": _select,
        "tool_hallucination_error": _hallucinate,
        "parameters_key_error": _key,
        "parameters_value_error": _value,
    }[label]
    found = make(tool, dict(args), listed, rng)
    if found is not None and label_of(found[:2], (tool.name, dict(args)), {one.name: one for one in listed}) != label:
        return None
    return found


def label_of(wrong: Call, right: Call, listed: Mapping[str, Tool]) -> str:
    """Return the label of a wrong call next to the right one, "" if it is not wrong.

    Args:
        wrong: The wrong call.
        right: The right one.
        listed: The tools that there are, by name.
    """
    name, args = wrong
    if name not in listed:
        return "tool_hallucination_error"
    if name != right[0]:
        return "tool_select_error"
    known = {one.name for one in listed[name].parameters}
    needed = {one.name for one in listed[name].parameters if one.is_required}
    if not needed <= set(args) or not set(args) <= known or not set(right[1]) <= set(args):
        return "parameters_key_error"
    return "parameters_value_error" if args != right[1] else ""


def _select(tool: Tool, args: dict[str, Json], listed: Sequence[Tool], rng: np.random.Generator) -> Slip | None:
    """Call another tool, of the same domain where there is one, with what fits of the arguments."""
    others = [one for one in listed if one.name != tool.name and one.parameters]
    near = [one for one in others if one.domain == tool.domain]
    if not others:
        return None
    chosen = one_of(near or others, rng)
    wrong: dict[str, Json] = {}
    for parameter in chosen.parameters:
        if parameter.is_required:
            fitting = [args[one.name] for one in tool.parameters if one.name in args and one.kind == parameter.kind]
            wrong[parameter.name] = fitting[0] if fitting else parameter.draw(rng)
    return chosen.name, wrong, "near" if near else "far"


def _hallucinate(tool: Tool, args: dict[str, Json], listed: Sequence[Tool], rng: np.random.Generator) -> Slip | None:
    """Call a tool that does not exist: a synonym in the name, an affix, another spelling, two names in one."""
    domain, verb, *rest = tool.name.split("_")
    synonym = texts("synonyms").get(verb)
    names = [
        (f"{tool.name}_{one_of(('now', 'v2', 'info', 'all'), rng)}", "affix"),
        ("".join(word.capitalize() for word in tool.name.split("_")), "spelling"),
        ("_".join([one_of(listed, rng).domain, verb, *rest, domain]), "merged"),
    ]
    if synonym:
        names.append(("_".join([domain, synonym, *rest]), "synonym"))
    name, kind = names[int(rng.integers(len(names)))]
    return None if name in {one.name for one in listed} else (name, args, kind)


def _key(tool: Tool, args: dict[str, Json], listed: Sequence[Tool], rng: np.random.Generator) -> Slip | None:
    """Drop a required key, rename one, or add one."""
    del listed
    required = [one.name for one in tool.parameters if one.is_required]
    if not required:
        return None
    kind = one_of(("dropped", "renamed", "added"), rng)
    chosen = one_of(required, rng)
    if kind == "dropped":
        return tool.name, {key: value for key, value in args.items() if key != chosen}, kind
    if kind == "renamed":
        renamed = texts("synonyms").get(chosen, one_of((f"{chosen}s", f"{chosen}_name", chosen.title().replace("_", "")), rng))
        return tool.name, {renamed if key == chosen else key: value for key, value in args.items()}, kind
    added = one_of((("limit", 5), ("language", "en"), ("sort_by", "price"), ("format", "json"), ("verbose", True)), rng)
    return None if tool.parameter(added[0]) else (tool.name, {**args, added[0]: added[1]}, kind)


def _value(tool: Tool, args: dict[str, Json], listed: Sequence[Tool], rng: np.random.Generator) -> Slip | None:
    """Give a value that the tool refuses, another value that it takes, or two values exchanged."""
    del listed
    given = [one for one in tool.parameters if one.name in args]
    if not given:
        return None
    kind = one_of(("broken", "other", "exchanged"), rng)
    breakable = [one for one in given if one.kind in _BROKEN]
    chosen: Parameter = one_of(breakable if kind == "broken" and breakable else given, rng)
    if kind == "broken" and breakable:
        return tool.name, {**args, chosen.name: one_of(_BROKEN[chosen.kind], rng)}, kind
    twin = next((one for one in given if one.kind == chosen.kind and one.name != chosen.name), None)
    if kind == "exchanged" and twin is not None:
        return tool.name, {**args, chosen.name: args[twin.name], twin.name: args[chosen.name]}, kind
    if chosen.kind == "flag":
        return tool.name, {**args, chosen.name: False}, "other"
    return tool.name, {**args, chosen.name: chosen.draw(rng)}, "other"


__all__ = ["Call", "Slip", "label_of", "slip"]
