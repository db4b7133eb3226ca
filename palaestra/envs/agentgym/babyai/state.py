"""The state of a level as plain data: grid, agent, mission and instructions, and back.

Objects are listed once and named by their place in the list, because instructions and boxes hold them by identity. Walls are
alike and not listed; one that an instruction means ("a grey object" means every wall) is named by its place in the grid.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from palaestra.envs.agentgym.babyai.engine import LEVELS, make_level
from palaestra.envs.core.typed import fits
from palaestra.types import Json

EMPTY, WALL = -1, -2

_KINDS = ("door", "key", "ball", "box", "goal", "lava", "floor")
_COLOURS = ("red", "green", "blue", "purple", "yellow", "grey")
_INSTRUCTIONS = {
    "OpenInstr": ("desc",),
    "GoToInstr": ("desc",),
    "PickupInstr": ("desc",),
    "PutNextInstr": ("desc_move", "desc_fixed"),
    "BeforeInstr": ("instr_a", "instr_b"),
    "AfterInstr": ("instr_a", "instr_b"),
    "AndInstr": ("instr_a", "instr_b"),
}
_SEQUENCES = ("BeforeInstr", "AfterInstr", "AndInstr")
_STATUS = (False, "success", "failure", "continue")
_MAX_STEPS = 10**9


class _Writer:
    """Numbers the objects of a level."""

    def __init__(self, cells: list[Any]) -> None:
        self._cells = cells
        self.objects: list[dict[str, Json]] = []
        self._numbers: dict[int, int] = {}
        self._kept: list[Any] = []  # so that no identity is used twice

    def number(self, thing: Any) -> int:
        """Return the number of an object, listed when it is first met."""
        if thing is None:
            return EMPTY
        if thing.type == "wall":
            return WALL
        known = self._numbers.get(id(thing))
        if known is not None:
            return known
        number = self._numbers[id(thing)] = len(self.objects)
        self._kept.append(thing)
        entry: dict[str, Json] = {"kind": thing.type, "colour": thing.color}
        self.objects.append(entry)
        entry["at"] = _pair(thing.cur_pos)
        if thing.type == "door":
            entry["is_open"], entry["is_locked"] = bool(thing.is_open), bool(thing.is_locked)
        if thing.type == "box":
            entry["holds"] = self.number(thing.contains)
        return number

    def instruction(self, instr: Any) -> dict[str, Json]:
        """Return an instruction and what it remembers."""
        kind = type(instr).__name__
        told: dict[str, Json] = {"kind": kind, "strict": bool(getattr(instr, "strict", False))}
        if kind in _SEQUENCES:
            told.update(a_done=instr.a_done, b_done=instr.b_done)
            told.update({name: self.instruction(getattr(instr, name)) for name in _INSTRUCTIONS[kind]})
            return told
        if hasattr(instr, "preCarrying"):
            told["carried_before"] = self.number(instr.preCarrying)
        for name in _INSTRUCTIONS[kind]:
            described = getattr(instr, name)
            told[name] = {
                "kind": described.type,
                "colour": described.color,
                "where": described.loc,
                "objects": [self._meant(thing) for thing in described.obj_set],
                "at": [_pair(place) for place in described.obj_poss],
            }
        return told

    def _meant(self, thing: Any) -> int:
        """Return the number of an object that an instruction means: `WALL - place` for the wall at a place in the grid."""
        if thing.type != "wall":
            return self.number(thing)
        return WALL - next(place for place, cell in enumerate(self._cells) if cell is thing)


def save_level(level: Any) -> dict[str, Json]:
    """Return the state of a level as plain data."""
    writer = _Writer(level.grid.grid)
    grid = [writer.number(cell) for cell in level.grid.grid]
    return {
        "grid": grid,
        "carrying": writer.number(level.carrying),
        "instruction": writer.instruction(level.instrs),
        "objects": writer.objects,
        "agent": [*(_pair(level.agent_pos) or (0, 0)), int(level.agent_dir)],
        "steps": int(level.step_count),
        "max_steps": int(level.max_steps),
        "mission": str(level.mission),
    }


def load_level(name: str, state: Mapping[str, Any]) -> Any:
    """Return a level of minigrid in a saved state.

    Args:
        name: One of `LEVELS`.
        state: What `save_level` returned.

    Raises:
        KeyError, TypeError, ValueError: If it is not the state of this level.
    """
    _expect(name in LEVELS, f"there is no level {name!r}")
    level = make_level(name)
    width, height = level.width, level.height
    _rooms(level, width, height)
    objects = _objects(state["objects"], width, height)
    _expect(fits(state["grid"], list[int]) and len(state["grid"]) == width * height, "the grid is not of the level's size")
    # each wall is an object of its own: minigrid asks whether a cell is one of those that were meant
    grid = [_wall() if number == WALL else _named(number, objects) for number in state["grid"]]
    level.grid.grid = grid
    carrying = _named(state["carrying"], objects)
    _expect(carrying is None or carrying.can_pickup(), "what is carried cannot be")
    level.carrying = carrying
    used = [number for number in (*state["grid"], state["carrying"]) if number >= 0]
    used += [entry["holds"] for entry in state["objects"] if entry.get("holds", EMPTY) >= 0]
    _expect(len(set(used)) == len(used), "an object is in two places")
    _expect(fits(state["agent"], tuple[int, int, int]), "the agent is not two coordinates and a heading")
    x, y, heading = state["agent"]
    _expect(0 < x < width - 1 and 0 < y < height - 1 and 0 <= heading < 4, "the agent is outside of the level")
    cell = grid[y * width + x]
    _expect(cell is None or cell.can_overlap(), "the agent stands on something")
    _expect(all(map(_is_wall, _border(grid, width, height))), "the level is not closed")
    level.agent_pos, level.agent_dir = (x, y), heading
    for key, attribute in (("steps", "step_count"), ("max_steps", "max_steps")):
        _expect(fits(state[key], int) and (key == "max_steps") <= state[key] <= _MAX_STEPS, f"{key} is not a count")
        setattr(level, attribute, state[key])
    _expect(fits(state["mission"], str), "the mission is not a text")
    level.mission = level.surface = state["mission"]
    level.instrs = _instruction(state["instruction"], level, objects)
    return level


def _rooms(level: Any, width: int, height: int) -> None:
    """Lay out the empty rooms of a level, which need no chance."""
    from minigrid.core.roomgrid import RoomGrid

    RoomGrid._gen_grid(level, width, height)


def _wall() -> Any:
    """Return a wall."""
    from minigrid.core.world_object import Wall

    return Wall()


def _is_wall(cell: Any) -> bool:
    """Whether a cell is a wall."""
    return cell is not None and cell.type == "wall"


def _objects(entries: Any, width: int, height: int) -> list[Any]:
    """Return the objects of a saved state."""
    from minigrid.core import world_object

    _expect(fits(entries, list[dict[str, Any]]), "the objects are not a list of records")
    made: list[Any] = []
    for entry in entries:
        kind, colour, at = entry["kind"], entry["colour"], entry["at"]
        _expect(kind in _KINDS and colour in _COLOURS, "an object is of no known kind and colour")
        known = {"kind", "colour", "at", *({"is_open", "is_locked"} if kind == "door" else {"holds"} if kind == "box" else ())}
        _expect(set(entry) == known, "an object has other facts than its kind")
        _expect(at is None or fits(at, tuple[int, int]), "the place of an object is not two coordinates")
        _expect(at is None or (-1 <= at[0] < width and -1 <= at[1] < height), "an object is outside of the level")
        make = getattr(world_object, kind.capitalize())
        thing = make() if kind in ("goal", "lava") else make(colour)
        _expect(thing.color == colour, "an object has a colour that its kind does not have")
        if kind == "door":
            _expect(fits(entry["is_open"], bool) and fits(entry["is_locked"], bool), "a door is neither open nor closed")
            _expect(not (entry["is_open"] and entry["is_locked"]), "a door is open and locked")
            thing.is_open, thing.is_locked = entry["is_open"], entry["is_locked"]
        thing.cur_pos = thing.init_pos = None if at is None else (at[0], at[1])
        made.append(thing)
    for number, (entry, thing) in enumerate(zip(entries, made, strict=True)):
        if entry["kind"] == "box":
            # a box holds an object that is listed after it, so that none holds itself
            _expect(fits(entry["holds"], int) and (entry["holds"] == EMPTY or entry["holds"] > number), "a box holds itself")
            thing.contains = _named(entry["holds"], made)
    return made


def _named(number: Any, objects: list[Any]) -> Any:
    """Return the object of a number."""
    if number == EMPTY and fits(number, int):
        return None
    _expect(fits(number, int) and 0 <= number < len(objects), "there is no object of a number")
    return objects[number]


def _instruction(told: Any, level: Any, objects: list[Any]) -> Any:
    """Return an instruction that remembers what it did."""
    from minigrid.envs.babyai.core import verifier

    kind = told["kind"]
    _expect(kind in _INSTRUCTIONS and fits(told["strict"], bool), "an instruction is of no known kind")
    if kind in _SEQUENCES:
        parts = [_instruction(told[name], level, objects) for name in _INSTRUCTIONS[kind]]
        made = getattr(verifier, kind)(*parts, strict=told["strict"])
        _expect(told["a_done"] in _STATUS and told["b_done"] in _STATUS, "an instruction has no known status")
        made.a_done, made.b_done = told["a_done"], told["b_done"]
    else:
        described = [_description(told[name], level, objects) for name in _INSTRUCTIONS[kind]]
        made = getattr(verifier, kind)(*described, **({} if kind == "GoToInstr" else {"strict": told["strict"]}))
        if kind in ("PickupInstr", "PutNextInstr"):
            made.preCarrying = _named(told["carried_before"], objects)
    made.env = level
    return made


def _description(told: Any, level: Any, objects: list[Any]) -> Any:
    """Return a description with the objects that it means."""
    from minigrid.envs.babyai.core.verifier import ObjDesc

    _expect(told["kind"] in (None, "box", "ball", "key", "door"), "a description is of no known kind")
    _expect(told["colour"] in (None, *_COLOURS), "a description is of no known colour")
    _expect(told["where"] in (None, "left", "right", "front", "behind"), "a description is of no known place")
    _expect(fits(told["at"], list[tuple[int, int]]) and fits(told["objects"], list[int]), "a description holds no objects")
    made = ObjDesc(told["kind"], told["colour"], told["where"])
    made.obj_set = [
        _tracked_wall(WALL - number, level) if number <= WALL else _named(number, objects) for number in told["objects"]
    ]
    _expect(all(thing is not None for thing in made.obj_set), "a description means nothing")
    _expect(all(0 <= x < level.width and 0 <= y < level.height for x, y in told["at"]), "a place is outside of the level")
    made.obj_poss = [(x, y) for x, y in told["at"]]
    return made


def _tracked_wall(place: int, level: Any) -> Any:
    """Return the wall at a place in the grid."""
    cells = level.grid.grid
    _expect(place < len(cells) and _is_wall(cells[place]), "a description means no wall")
    return cells[place]


def _border(grid: list[Any], width: int, height: int) -> list[Any]:
    """Return the outermost cells."""
    rows = [grid[row * width : (row + 1) * width] for row in range(height)]
    return [*rows[0], *rows[-1], *(row[0] for row in rows), *(row[-1] for row in rows)]


def _pair(place: Any) -> list[int] | None:
    """Return a place as two plain integers."""
    if place is None:
        return None
    x, y = np.asarray(place).tolist()
    return [int(x), int(y)]


def _expect(is_right: bool, problem: str) -> None:
    """Refuse a state.

    Raises:
        ValueError: If it is wrong.
    """
    if not is_right:
        raise ValueError(problem)


__all__ = ["load_level", "save_level"]
