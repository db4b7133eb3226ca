"""The commands of ALFWorld as functions, with the names of AgentGym's function-calling and code formats.

Ours in addition: `slice`, which the published table lacks. `put` stands for the command of either dialect.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from palaestra.envs.agentgym.function_calls import Argument, Function, FunctionCommands

_OBJECTS = ("mug 1", "apple 2", "book 1", "knife 1")
_RECEPTACLES = ("countertop 1", "cabinet 4", "desk 1", "fridge 1")
_OBJECT = Argument("name of an object with its number", ("object", "item", "obj1"), examples=_OBJECTS)
_RECEPTACLE = Argument("name of a receptacle with its number", ("receptacle", "location", "target"), examples=_RECEPTACLES)
_BOTH = {"obj": _OBJECT, "recep": _RECEPTACLE}


class Commands(FunctionCommands):
    """Turns calls of functions into commands."""

    functions: ClassVar[Mapping[str, Function]] = {
        "goto": Function("Go to a receptacle.", ("go to {recep}",), {"recep": _RECEPTACLE}),
        "take": Function("Take an object from a receptacle.", ("take {obj} from {recep}",), _BOTH),
        "put": Function(
            "Put the object that you carry in or on a receptacle.",
            ("put {obj} in/on {recep}", "move {obj} to {recep}"),
            _BOTH,
        ),
        "open": Function("Open a receptacle.", ("open {recep}",), {"recep": _RECEPTACLE}),
        "close": Function("Close a receptacle.", ("close {recep}",), {"recep": _RECEPTACLE}),
        "use": Function("Use an object, such as a lamp.", ("use {obj}",), {"obj": _OBJECT}),
        "toggle": Function("Turn an object, such as a lamp, on or off.", ("use {obj}",), {"obj": _OBJECT}),
        "heat": Function("Heat the object that you carry, with a microwave.", ("heat {obj} with {recep}",), _BOTH),
        "cool": Function("Cool the object that you carry, with a fridge.", ("cool {obj} with {recep}",), _BOTH),
        "clean": Function("Clean the object that you carry, with a sinkbasin.", ("clean {obj} with {recep}",), _BOTH),
        "slice": Function(
            "Slice an object with the knife that you carry.",
            ("slice {obj} with {knife}",),
            {"obj": _OBJECT, "knife": Argument("name of the knife with its number", ("tool", "recep"), examples=("knife 1",))},
        ),
        "examine": Function(
            "Examine a receptacle, or an object if one is named.",
            ("examine {recep}", "examine {obj}{recep:.0}", "examine {obj}"),
            {"recep": _RECEPTACLE, "obj": _OBJECT},
            needed=("recep",),
        ),
        "look": Function("Look around where you are.", ("look",)),
        "inventory": Function("Say what you carry.", ("inventory",)),
    }


__all__ = ["Commands"]
