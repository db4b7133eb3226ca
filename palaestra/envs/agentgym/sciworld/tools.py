"""The commands of SciWorld as functions, under every argument name that AgentGym's prompts and parser have used."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import ClassVar

from palaestra.envs.agentgym.function_calls import Argument, Function, FunctionCommands
from palaestra.types import ToolCall, ToolResult

WAITS = {"wait": "wait", "wait1": "wait1", "wait10": "wait"}
"""Commands of the simulator by what `wait` with its duration comes to."""


def _object(what: str, *aliases: str, examples: tuple[str, ...]) -> Argument:
    """Return an argument that is the name of an object."""
    return Argument(f"the {what}, as the observations name it", ("obj", *aliases), examples=examples)


def _one(verb: str, description: str, what: str, *aliases: str, examples: tuple[str, ...]) -> Function:
    """Return a function with one object."""
    return Function(description, (f"{verb} {{obj}}",), {"obj": _object(what, *aliases, examples=examples)})


_CONTAINERS = ("cupboard", "freezer", "metal pot", "sink", "blue box")
_DOORS = ("door to hallway", "door to kitchen", "door to outside")
_DEVICES = ("stove", "sink", "switch", "blast furnace")
_PARTS = ("battery anode", "battery cathode", "red wire terminal 1", "red light bulb cathode")
_THINGS = ("thermometer", "metal pot", "apple", "orange", "table", "water")
_ROOMS = ("kitchen", "hallway", "outside", "greenhouse", "workshop", "foundry")
_LIQUIDS = ("water", "cup containing red paint", "wood cup")

FUNCTIONS: Mapping[str, Function] = MappingProxyType(
    {
        "open": _one("open", "Open a container or a door.", "container or door", examples=_DOORS + _CONTAINERS),
        "close": _one("close", "Close a container or a door.", "container or door", examples=_DOORS + _CONTAINERS),
        "activate": _one("activate", "Turn a device on.", "device", examples=_DEVICES),
        "deactivate": _one("deactivate", "Turn a device off.", "device", examples=_DEVICES),
        "connect": Function(
            "Connect two electrical components.",
            ("connect {obj1} to {obj2}",),
            {
                "obj1": Argument("the first component or terminal", examples=_PARTS),
                "obj2": Argument("the second component or terminal", examples=_PARTS),
            },
        ),
        "disconnect": _one("disconnect", "Disconnect an electrical component.", "component", examples=_PARTS),
        "use": Function(
            "Use a tool, alone or on an object.",
            ("use {tool} on {obj}", "use {tool}"),
            {
                "tool": Argument("the tool", examples=("thermometer", "lighter", "shovel", "stopwatch")),
                "obj": Argument("what it is used on, if anything", examples=_THINGS),
            },
        ),
        "lookaround": Function("Describe the room.", ("look around",)),
        "lookat": _one("look at", "Describe an object in detail.", "object", examples=_THINGS),
        "lookin": _one("look in", "Describe the contents of a container.", "container", examples=_CONTAINERS),
        "read": _one("read", "Read a note or a book.", "note or book", "info", examples=("recipe", "book")),
        "move": Function(
            "Move an object to a container other than the inventory.",
            ("move {obj} to {container}",),
            {
                "obj": _object("object", examples=_THINGS),
                "container": Argument("the container", examples=_CONTAINERS),
            },
        ),
        "pickup": _one("pick up", "Move an object to the inventory.", "object", examples=_THINGS),
        "drop": _one("drop", "Put down an object of the inventory.", "object", examples=_THINGS),
        "pour": Function(
            "Pour a liquid into a container.",
            ("pour {liq} into {container}",),
            {"liq": Argument("the liquid", examples=_LIQUIDS), "container": Argument("the container", examples=_CONTAINERS)},
        ),
        "dunk": Function(
            "Dunk a container into a liquid.",
            ("dunk {container} in {liq}",),
            {"container": Argument("the container", examples=_CONTAINERS), "liq": Argument("the liquid", examples=_LIQUIDS)},
        ),
        "mix": Function(
            "Mix the contents of a container chemically.",
            ("mix {container}",),
            {"container": Argument("the container", ("obj",), examples=_CONTAINERS)},
        ),
        "goto": Function(
            "Go to another place.", ("go to {loc}",), {"loc": Argument("the place", ("obj", "location"), examples=_ROOMS)}
        ),
        "eat": Function("Eat food.", ("eat {food}",), {"food": Argument("the food", ("obj",), examples=("apple", "orange"))}),
        "flush": _one("flush", "Flush a toilet.", "toilet", examples=("toilet",)),
        "focus": _one("focus on", "Say which object the task is about.", "object", examples=_THINGS),
        "wait": Function(
            "Let time pass.",
            ("wait{duration}", "wait"),
            {"duration": Argument("1 or 10, the number of iterations (10 if not given)", ("obj",), "integer", (1, 10))},
        ),
        "examine": _one("examine", "Describe an object, e.g. its substance.", "object", examples=_THINGS),
        "task": Function("Repeat the task.", ("task",)),
        "inventory": Function("List what is carried.", ("inventory",)),
        "choose": Function(
            "Answer a numbered menu.",
            ("{option}",),
            {"option": Argument("the number of an entry of the menu", ("obj",), "integer", (0, 1, 2, 3))},
        ),
    }
)
TELEPORT: Mapping[str, Function] = MappingProxyType(
    {"teleport": Function("Go to any place at once.", ("teleport to {loc}",), {"loc": Argument("the place", examples=_ROOMS)})}
)


class Commands(FunctionCommands):
    """Turns calls of functions into commands, and back."""

    functions: ClassVar[Mapping[str, Function]] = FUNCTIONS

    def call(self, call: ToolCall) -> ToolResult:
        """Return the command that a call stands for, or what is wrong with the call."""
        made = super().call(call)
        if made.status != "ok" or call.name not in ("wait", "choose"):
            return made
        if call.name == "wait" and made.content in WAITS:
            return ToolResult(call.name, WAITS[made.content], "ok", call.id)
        if call.name == "wait":
            problem = f"wait: 'duration' is {made.content[4:]!r}; one can wait 1 or 10 iterations."
        elif made.content.isascii() and made.content.removeprefix("-").isdecimal():
            return made
        else:
            problem = f"choose: 'option' is {made.content!r}; send the number of an entry of the menu, in the digits 0 to 9."
        return ToolResult(call.name, problem, "invalid_arguments", call.id)

    def call_of(self, command: str) -> ToolCall | None:
        """Return the call that stands for a command, None if no function does."""
        if command.isascii() and command.isdecimal():
            return ToolCall("choose", {"option": int(command)})
        if command == "put down" or command.startswith("put down "):
            command = "drop" + command[len("put down") :]
        found = super().call_of(command)
        return None if found is None or self.call(found).status != "ok" else found


class TeleportCommands(Commands):
    """The same with the command that the simplification `teleportAction` adds."""

    functions: ClassVar[Mapping[str, Function]] = MappingProxyType({**FUNCTIONS, **TELEPORT})


__all__ = ["FUNCTIONS", "Commands", "TeleportCommands"]
