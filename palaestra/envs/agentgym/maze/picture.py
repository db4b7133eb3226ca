"""The maze for people: as characters, and as a picture."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from palaestra.envs.agentgym.maze.world import WALL, Cell, MazeWorld

PIXELS = 16
"""Side of a cell in a picture."""

_FLOOR, _WALLS, _GOAL, _AGENT = (236, 236, 228), (60, 64, 72), (74, 160, 94), (206, 84, 60)
_AGENT_MARK, _GOAL_MARK = "@", "x"


def as_text(world: MazeWorld) -> str:
    """Return the maze as lines of characters: `#` walls, `@` the agent, `x` the goal."""
    lines = [list(row.replace(".", " ")) for row in world.maze.rows]
    _mark(lines, world.maze.goal, _GOAL_MARK)
    _mark(lines, world.position, _AGENT_MARK)
    return "\n".join("".join(line) for line in lines)


def as_picture(world: MazeWorld) -> NDArray[np.uint8]:
    """Return the maze as a picture, uint8 of shape (rows * PIXELS, columns * PIXELS, 3): goal green, agent red."""
    walls = np.array([[mark == WALL for mark in row] for row in world.maze.rows])
    cells = np.where(walls[..., None], np.array(_WALLS, np.uint8), np.array(_FLOOR, np.uint8))
    picture = np.ascontiguousarray(cells.repeat(PIXELS, axis=0).repeat(PIXELS, axis=1))
    middle = (np.arange(PIXELS) - (PIXELS - 1) / 2) ** 2
    disc = middle[:, None] + middle[None, :] <= (PIXELS * 0.36) ** 2
    inner = np.s_[2 : PIXELS - 2]
    for (row, column), colour, is_round in ((world.maze.goal, _GOAL, False), (world.position, _AGENT, True)):
        place = picture[row * PIXELS : (row + 1) * PIXELS, column * PIXELS : (column + 1) * PIXELS]
        if is_round:
            place[disc] = colour
        else:
            place[inner, inner] = colour
    return picture


def _mark(lines: list[list[str]], cell: Cell, mark: str) -> None:
    """Put a mark on a cell."""
    lines[cell[0]][cell[1]] = mark


__all__ = ["PIXELS", "as_picture", "as_text"]
