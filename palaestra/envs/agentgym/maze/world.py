"""The world of the maze: walls, a goal, and where the agent stands.

Observations are word for word those of LMRL-Gym's maze as AgentGym serves it, because published models and data depend on
them.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any, NamedTuple

from palaestra.envs.core.typed import fits
from palaestra.types import Json

WALL, OPEN = "#", "."
MAX_SIDE = 101
"""Most rows and columns of a maze."""

Cell = tuple[int, int]

STEPS: Mapping[str, Cell] = {"left": (0, -1), "right": (0, 1), "up": (-1, 0), "down": (1, 0)}
COMMANDS: Mapping[str, Cell] = {f"move {name}": step for name, step in STEPS.items()}
_FELT = (
    ((0, 1), "to your right"),
    ((0, -1), "to your left"),
    ((-1, 0), "above you"),
    ((1, 0), "below you"),
)  # in the order in which they are told


class Maze:
    """Walls and a goal; never changed.

    Args:
        rows: One text per row, `#` for a wall and `.` for an open cell; all of one length, 3 to `MAX_SIDE` each way.
        goal: Row and column of the goal, from 0.

    Raises:
        ValueError: If the rows are not a closed rectangle, or the goal is not an open cell.
    """

    def __init__(self, rows: Sequence[str], goal: Cell) -> None:
        """Check the rectangle."""
        self.rows, self.goal = tuple(rows), (goal[0], goal[1])
        height, width = len(self.rows), len(self.rows[0]) if self.rows else 0
        if not (3 <= height <= MAX_SIDE and 3 <= width <= MAX_SIDE) or any(len(row) != width for row in self.rows):
            raise ValueError(f"the grid is no rectangle of 3 to {MAX_SIDE} rows and columns")
        if set("".join(self.rows)) - {WALL, OPEN}:
            raise ValueError("the grid holds something other than walls and open cells")
        border = self.rows[0] + self.rows[-1] + "".join(row[0] + row[-1] for row in self.rows)
        if OPEN in border:
            raise ValueError("the grid is not closed: there is an open cell at its border")
        if not self.is_open(self.goal):
            raise ValueError(f"the goal {self.goal} is not an open cell")
        self._told: dict[Cell, str] = {}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Maze:
        """Return the maze of a task: `rows` and `goal`.

        Raises:
            KeyError, TypeError, ValueError: If it is not one.
        """
        if not fits(data["rows"], list[str]) or not fits(data["goal"], tuple[int, int]):
            raise TypeError("rows or goal are not of their types")
        return cls(data["rows"], tuple(data["goal"]))

    def to_json(self) -> dict[str, Json]:
        """Return rows and goal as plain data."""
        return {"rows": list(self.rows), "goal": list(self.goal)}

    def is_open(self, cell: Cell) -> bool:
        """Whether a cell is inside and not a wall."""
        row, column = cell
        return 0 <= row < len(self.rows) and 0 <= column < len(self.rows[0]) and self.rows[row][column] == OPEN

    def open_cells(self) -> list[Cell]:
        """Return the open cells, row by row."""
        return [(r, c) for r, row in enumerate(self.rows) for c, mark in enumerate(row) if mark == OPEN]

    @cached_property
    def distances(self) -> Mapping[Cell, int]:
        """Moves to the goal from each cell that has a way there."""
        found, queue = {self.goal: 0}, deque([self.goal])
        while queue:
            row, column = cell = queue.popleft()
            for down, right in STEPS.values():
                beside = (row + down, column + right)
                if beside not in found and self.is_open(beside):
                    found[beside] = found[cell] + 1
                    queue.append(beside)
        return found

    def observation(self, cell: Cell) -> str:
        """Return the text told at a cell: the goal, the position, the walls next to it."""
        told = self._told.get(cell)
        if told is None:
            row, column = cell
            walls = [words for (down, right), words in _FELT if not self.is_open((row + down, column + right))]
            felt = f"There {'is a wall' if len(walls) == 1 else 'are walls'} {', '.join(walls)}."
            if not walls:
                felt = "There are no walls near you."
            told = (
                f"The goal is at position {self.goal[0]}, {self.goal[1]}. Your current position is at position "
                f"{row}, {column}. {felt}"
            )
            self._told[cell] = told
        return told

    def __eq__(self, other: object) -> bool:
        """Whether two mazes have the same walls and goal."""
        return isinstance(other, Maze) and (self.rows, self.goal) == (other.rows, other.goal)

    def __hash__(self) -> int:
        """Return a hash of walls and goal."""
        return hash((self.rows, self.goal))

    def __repr__(self) -> str:
        """Show size and goal."""
        return f"Maze({len(self.rows)} x {len(self.rows[0])}, goal={self.goal})"


class Reply(NamedTuple):
    """What one command did.

    Attributes:
        text: The world's answer.
        is_known: It was one of the four commands.
        is_solved: The goal was reached by it.
    """

    text: str
    is_known: bool = True
    is_solved: bool = False


class MazeWorld:
    """State of one episode.

    Args:
        maze: Walls and goal; shared and never changed.
        position: Where the agent stands, an open cell.

    Raises:
        ValueError: If the position is not an open cell.
    """

    __slots__ = ("maze", "position")

    def __init__(self, maze: Maze, position: Cell) -> None:
        """Begin at a cell."""
        if not maze.is_open(position):
            raise ValueError(f"the position {position} is not an open cell of the maze")
        self.maze = maze
        self.position = position

    def observation(self) -> str:
        """Return the text told at the current position."""
        return self.maze.observation(self.position)

    def act(self, command: str) -> Reply:
        """Execute a command; any other text, and a move into a wall, leaves the agent where it is.

        Args:
            command: Exactly `move left`, `move right`, `move up` or `move down`.
        """
        step = COMMANDS.get(command)
        if step is None:
            return Reply(self.observation(), is_known=False)
        row, column = self.position
        beside = (row + step[0], column + step[1])
        if self.maze.rows[beside[0]][beside[1]] == OPEN:  # the border is closed, so the cell exists
            self.position = beside
            if beside == self.maze.goal:
                return Reply("Success\n", is_solved=True)
        return Reply(self.observation())

    def available_commands(self) -> list[str]:
        """Return the moves that a wall does not stop."""
        row, column = self.position
        return [text for text, (down, right) in COMMANDS.items() if self.maze.is_open((row + down, column + right))]

    def next_move(self) -> str:
        """Return a command on a shortest way to the goal; empty if there is no way, or it is reached."""
        distances = self.maze.distances
        row, column = self.position
        for text, (down, right) in COMMANDS.items():
            if distances.get((row + down, column + right), -2) == distances.get(self.position, -9) - 1:
                return text
        return ""

    def way(self) -> list[str]:
        """Return the commands of the expert's way to the goal; empty if there is none."""
        walker, commands = self.copy(), []
        while command := walker.next_move():
            commands.append(command)
            walker.act(command)
        return commands

    def to_json(self) -> Json:
        """Return the whole state."""
        return {**self.maze.to_json(), "position": list(self.position)}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> MazeWorld:
        """Rebuild from `to_json()`.

        Raises:
            KeyError, TypeError, ValueError: If it is not the state of a world.
        """
        if not fits(data["position"], tuple[int, int]):
            raise TypeError("the position is not two integers")
        return cls(Maze.from_json(data), tuple(data["position"]))

    def copy(self) -> MazeWorld:
        """Return an independent world in the same state."""
        return MazeWorld(self.maze, self.position)

    def __eq__(self, other: object) -> bool:
        """Whether two worlds are in the same state."""
        return isinstance(other, MazeWorld) and (self.maze, self.position) == (other.maze, other.position)

    __hash__ = None  # type: ignore[assignment]  # worlds change; hash env.state_hash() instead

    def __repr__(self) -> str:
        """Show maze and position."""
        return f"MazeWorld({self.maze!r}, position={self.position})"


__all__ = ["COMMANDS", "MAX_SIDE", "OPEN", "STEPS", "WALL", "Cell", "Maze", "MazeWorld", "Reply"]
