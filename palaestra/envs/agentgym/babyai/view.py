"""What the agent sees: its seven by seven cells, in its own coordinates.

Columns count from 0 at the left to 6, rows from 0 at the far end to 6, where the agent stands in column 3. Visibility is
minigrid's: from the agent's row away, light goes sideways and forward through what is not a wall or a closed door.
"""

from __future__ import annotations

from functools import cache
from typing import Any, NamedTuple

SIZE = 7
AGENT_COLUMN, AGENT_ROW = 3, 6
DIRECTIONS = ((1, 0), (0, 1), (-1, 0), (0, -1))
"""Steps by heading: right, down, left, up in the coordinates of the grid."""

_ALL = (1 << SIZE) - 1
STATES = ("open", "closed", "locked")
"""Of a door."""


class Seen(NamedTuple):
    """An object in view.

    Attributes:
        kind: "door", "key", "ball", "box", "goal" or "lava".
        name: Colour, state of a door, and kind: "red closed door".
        column: Column of the view.
        row: Row of the view.
        distance: Steps there, without walls.
    """

    kind: str
    name: str
    column: int
    row: int
    distance: int


class View(NamedTuple):
    """What is in view.

    Attributes:
        objects: Objects in order of distance, those at one distance from the far rows to the near ones and from left to right.
        walls: Cells (bits, `row * 8 + column`) with a wall.
        facing: Kind and distance of the nearest wall or box straight ahead, None if none is in view.
        is_blank: Whether not even a wall is in view.
        carried: Colour and kind of what is carried, empty for nothing.
        heading: Where the agent looks to, an index of `DIRECTIONS`.
        image: All that the published picture shows: two views are the same if these are equal.
    """

    objects: tuple[Seen, ...]
    walls: int
    facing: tuple[str, int] | None
    is_blank: bool
    carried: str
    heading: int
    image: tuple[Any, ...]


def look(level: Any) -> View:
    """Return the view of the agent of a level."""
    heading = int(level.agent_dir)
    ahead_x, ahead_y = DIRECTIONS[heading]
    right_x, right_y = -ahead_y, ahead_x
    agent_x, agent_y = int(level.agent_pos[0]), int(level.agent_pos[1])
    grid, width, height = level.grid.grid, level.grid.width, level.grid.height
    found: list[Seen] = []
    image: list[Any] = []
    walls, facing, is_blank = 0, None, True
    lit = 1 << AGENT_COLUMN
    for row in range(AGENT_ROW, -1, -1):
        steps = AGENT_ROW - row
        left_x = agent_x + ahead_x * steps - right_x * AGENT_COLUMN
        left_y = agent_y + ahead_y * steps - right_y * AGENT_COLUMN
        cells: list[Any] = []
        clear = 0
        for column in range(SIZE):
            x, y = left_x + right_x * column, left_y + right_y * column
            if 0 <= x < width and 0 <= y < height:
                cell = grid[y * width + x]
                if cell is None or (cell.type != "wall" and (cell.type != "door" or cell.is_open)):
                    clear |= 1 << column
            else:
                cell = _OUTSIDE if x >= 0 and y >= 0 else _BEYOND
            cells.append(cell)
        lit, further = _light(lit, clear)
        image.append(lit)
        for column in range(SIZE) if lit else ():
            cell = cells[column]
            if cell is None or not lit >> column & 1 or (steps == 0 and column == AGENT_COLUMN):
                continue
            kind = cell.type
            if kind == "wall":
                image.append(column)
                if cell is _BEYOND:
                    continue
                walls |= 1 << (row * 8 + column)
                is_blank = False
            else:
                state = (0 if cell.is_open else 2 if cell.is_locked else 1) if kind == "door" else 0
                image.append((column, kind, cell.color, state))
                if kind == "floor":
                    continue
                name = f"{cell.color} {STATES[state]} door" if kind == "door" else f"{cell.color} {kind}"
                found.append(Seen(kind, name, column, row, steps + abs(column - AGENT_COLUMN)))
            if facing is None and column == AGENT_COLUMN and kind in ("wall", "box"):
                facing = (kind, steps)
        if not (lit := further):
            break
    carried = "" if level.carrying is None else f"{level.carrying.color} {level.carrying.type}"
    image.append(carried)
    found.sort(key=_order)
    return View(tuple(found), walls, facing, is_blank and not found, carried, heading, tuple(image))


def _order(seen: Seen) -> tuple[int, int, int]:
    """Return the place of an object in a view."""
    return seen.distance, seen.row, seen.column


@cache  # at most 128 times 128 entries
def _light(lit: int, clear: int) -> tuple[int, int]:
    """Return which cells of a row are lit in the end, and which of the next row are lit from there.

    Args:
        lit: Cells (bits) that are lit from the row before.
        clear: Cells that can be seen through.
    """
    further = 0
    for column in range(SIZE - 1):
        if lit & clear & 1 << column:
            lit |= 1 << (column + 1)
            further |= 3 << column
    for column in range(SIZE - 1, 0, -1):
        if lit & clear & 1 << column:
            lit |= 1 << (column - 1)
            further |= 3 << (column - 1)
    return lit & _ALL, further & _ALL


class _Wall:
    """A wall where the grid ends."""

    type = "wall"


_OUTSIDE, _BEYOND = _Wall(), _Wall()  # the published text skips cells with negative coordinates


__all__ = ["AGENT_COLUMN", "AGENT_ROW", "DIRECTIONS", "SIZE", "STATES", "Seen", "View", "look"]
