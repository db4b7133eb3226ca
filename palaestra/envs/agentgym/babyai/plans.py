"""Actions and their primitives: which actions there are in a view, and the shortest plan of each.

Plans are searched in the agent's view over cell and heading. They are those of the published search, word for word so to
say: ties between plans of equal length are broken as a queue does whose entries keep the parent that found them last.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from palaestra.envs.agentgym.babyai.view import AGENT_COLUMN, AGENT_ROW, SIZE, Seen, View

LEFT, RIGHT, FORWARD, PICKUP, DROP, TOGGLE = range(6)
"""Primitives, as minigrid numbers them."""

CHECK = "check available actions"

_STEPS = (-8, 1, 8, -1)  # of a cell, `row * 8 + column`, by heading: away from the agent, right, back, left
_START = AGENT_ROW * 8 + AGENT_COLUMN
_FIRST_COLUMN = sum(1 << (row * 8) for row in range(8))
_LAST_COLUMN = _FIRST_COLUMN << 7
_ALL = (1 << 64) - 1
_OBSTACLES = ("box", "ball", "key", "lava")


class Action(NamedTuple):
    """An action that can be taken.

    Attributes:
        verb: "turn left", "go to", ...; the text is verb, name and number.
        text: What the agent says.
        target: The object it is about, None for those without.
    """

    verb: str
    text: str
    target: Seen | None = None


class Choices:
    """The actions of a view.

    Args:
        view: What the agent sees.
        is_fixed: Whether objects have one number each, also where no way leads to one of them, and `toggle` also closes
            doors and opens boxes.
    """

    def __init__(self, view: View, *, is_fixed: bool = False) -> None:
        """Find the cells that can be walked on and list the actions."""
        self.view = view
        self.is_fixed = is_fixed
        self.free = _room(view.heading) & ~view.walls
        for seen in view.objects:
            if seen.kind in _OBSTACLES:
                self.free &= ~(1 << _cell(seen))
        self.reached = _flood(self.free)
        self.actions: dict[str, Action] = {}
        for action in self._listed():
            self.actions.setdefault(action.text, action)

    def plan(self, action: Action) -> list[int]:
        """Return the primitives of an action."""
        verb = action.verb
        if action.target is None:
            return [] if verb == CHECK else [_SIMPLE[verb]]
        way = find_way(self.free, _cell(action.target), arrive=verb == "go through" or action.target.kind == "goal")
        return way + {"pickup": [PICKUP], "toggle and go through": [TOGGLE, FORWARD]}.get(verb, [])

    def problem(self, text: str) -> str:
        """Return why a text is not an action here."""
        return self._problems().get(text, UNKNOWN)

    def faces(self, seen: Seen) -> bool:
        """Whether a way leads next to an object."""
        cell = 1 << _cell(seen)
        beside = cell << 8 | cell >> 8
        if not cell & _FIRST_COLUMN:
            beside |= cell >> 1
        if not cell & _LAST_COLUMN:
            beside |= cell << 1
        return bool(beside & self.reached)

    def _listed(self) -> Iterator[Action]:
        """Yield the actions in the published order."""
        view = self.view
        yield _TURN_LEFT
        yield _TURN_RIGHT
        if view.facing is None or view.facing[1] > 1:
            yield _MOVE_FORWARD
        if view.carried:
            if not self._is_ahead(*_OBSTACLES) and not view.walls >> (_START - 8) & 1:
                yield _DROP
        else:
            yield from self._each("pickup", _PORTABLE)
        for seen, number in _numbered([seen for seen in view.objects if seen.kind == "door"]):
            is_ahead = _cell(seen) == _START - 8
            state = seen.name.split(" ")[1]
            if state == "open":
                if self.reached >> _cell(seen) & 1:
                    yield Action("go through", f"go through {seen.name} {number}", seen)
                if self.is_fixed and is_ahead:
                    yield _TOGGLE
            elif (state == "closed" or self._has_key(seen)) and self.faces(seen):
                yield Action("toggle and go through", f"toggle and go through {seen.name} {number}", seen)
                if is_ahead:
                    yield _TOGGLE
        if self.is_fixed and self._is_ahead("box"):
            yield _TOGGLE
        for seen in view.objects:
            if seen.kind == "goal" and self.reached >> _cell(seen) & 1:
                yield Action("go to", "go to goal", seen)
        yield from self._each("go to", ("door", *_PORTABLE))
        yield _CHECK

    def _each(self, verb: str, kinds: tuple[str, ...]) -> Iterator[Action]:
        """Yield an action for each object that a way leads to; published numbers count those alone."""
        seen = [seen for seen in self.view.objects if seen.kind in kinds]
        pairs = _numbered(seen) if self.is_fixed else _numbered([one for one in seen if self.faces(one)])
        for one, number in pairs:
            if not self.is_fixed or self.faces(one):
                yield Action(verb, f"{verb} {one.name} {number}", one)

    def _has_key(self, door: Seen) -> bool:
        """Whether the key of a locked door is carried."""
        return self.view.carried == f"{door.name.split(' ')[0]} key"

    def _is_ahead(self, *kinds: str) -> bool:
        """Whether an object of some kind is directly ahead."""
        return any(_cell(seen) == _START - 8 and seen.kind in kinds for seen in self.view.objects)

    def _problems(self) -> dict[str, str]:
        """Return the reasons for what can be recognised and not be done, as published, by action."""
        view = self.view
        found: dict[str, str] = {}
        if "move forward" not in self.actions:
            found["move forward"] = "There is a barrier in front of you, you can't move forward."
        if not view.carried:
            found.update(self._no_way("pickup", _PORTABLE, "pickup"))
            found["drop"] = "You cannot drop the object, as you are not carrying anything."
        elif "drop" not in self.actions:
            found["drop"] = "You cannot drop the object, as there is already an object in front of you."
        found.update(self._door_problems())
        if any(seen.kind == "goal" for seen in view.objects):
            found["go to goal"] = "You cannot go to the goal, as there is no path leading to it."
        found.update(self._no_way("go to", ("door", *_PORTABLE), "go to"))
        return found

    def _door_problems(self) -> dict[str, str]:
        """Return the reasons for doors."""
        found: dict[str, str] = {}
        counts: dict[str, int] = {}
        for seen in self.view.objects:
            if seen.kind != "door":
                continue
            name = seen.name
            counts[name] = counts.get(name, 0) + 1
            colour, state, _ = name.split(" ")
            through, open_it = f"{name} {counts[name]}", f"toggle and go through {name} {counts[name]}"
            if state == "open":
                found[f"go through {through}"] = f"You cannot go through {through}, as there is no path leading to it."
                continue
            if state == "locked" and not self.view.carried.endswith(" key"):
                found[open_it] = f"You cannot {open_it}, as you are not carrying a key."
                continue
            if state == "locked" and self.view.carried != f"{colour} key":
                found[open_it] = (
                    f"You cannot {open_it}, as the color of the key you are carrying does not match the color of door."
                )
                continue
            # in place of the number, the published message has its table of counts
            found[open_it] = f"You cannot toggle and go through {name} {counts}, as there is no path leading to it."
            if state == "closed":
                closed = f"You cannot go through {through}, as it is closed. You should toggle it first."
                found[f"go through {through}"] = closed
        return found

    def _no_way(self, verb: str, kinds: tuple[str, ...], words: str) -> dict[str, str]:
        """Return the reasons for objects that no way leads to; numbers count as published."""
        found: dict[str, str] = {}
        counts: dict[str, int] = {}
        for seen in self.view.objects:
            if seen.kind not in kinds:
                continue
            if self.is_fixed:
                counts[seen.name] = counts.get(seen.name, 0) + 1
            number = counts.get(seen.name, 0) + (not self.is_fixed)
            if self.faces(seen):
                counts[seen.name] = number
            else:
                one = f"{seen.name} {number}"
                found[f"{verb} {one}"] = f"You cannot {words} {one}, as there is no path leading to it."
        return found


def find_way(free: int, target: int, *, arrive: bool) -> list[int]:
    """Return the primitives that lead from the agent's cell next to a target, facing it, or onto it.

    Args:
        free: Cells (bits) that can be walked on.
        target: The target's cell.
        arrive: Whether to end on the target.

    Raises:
        ValueError: If there is no way.
    """
    start = (_START, 0)
    parents: dict[tuple[int, int], tuple[tuple[int, int], int] | None] = {start: None}
    first: list[tuple[int, int]] = [start]  # each state where the queue of the published search holds it first
    last: list[tuple[int, int]] = [start]  # ... and last: that entry is the one that its children remember
    while first:
        for state in first:
            cell, heading = state
            if (cell == target) if arrive else (_beside(cell, heading) == target):
                return _way(parents, state)
        behind = set(parents)
        queued: dict[tuple[int, int], None] = {}
        for state in first:
            for _, child in _moves(state, free):
                if child not in behind:
                    queued[child] = None
        again: dict[tuple[int, int], None] = {}
        for state in last:
            for primitive, child in _moves(state, free):
                if child not in behind:
                    again.pop(child, None)
                    again[child] = None
                    parents[child] = (state, primitive)
        first, last = list(queued), list(again)
    raise ValueError("no way leads there")


def _moves(state: tuple[int, int], free: int) -> Iterator[tuple[int, tuple[int, int]]]:
    """Yield primitives and the states that they lead to, in the published order."""
    cell, heading = state
    ahead = _beside(cell, heading)
    if ahead >= 0 and free >> ahead & 1:
        yield FORWARD, (ahead, heading)
    yield LEFT, (cell, (heading - 1) % 4)
    yield RIGHT, (cell, (heading + 1) % 4)


def _way(parents: dict[tuple[int, int], tuple[tuple[int, int], int] | None], state: tuple[int, int]) -> list[int]:
    """Return the primitives that led to a state."""
    way: list[int] = []
    while (step := parents[state]) is not None:
        state, primitive = step
        way.append(primitive)
    return way[::-1]


def _beside(cell: int, heading: int) -> int:
    """Return the cell ahead of a cell; -1 outside of eight by eight cells."""
    if (heading == 1 and cell % 8 == 7) or (heading == 3 and cell % 8 == 0):
        return -1
    beside = cell + _STEPS[heading]
    return beside if 0 <= beside < 64 else -1


def _cell(seen: Seen) -> int:
    """Return the cell of an object."""
    return seen.row * 8 + seen.column


def _room(heading: int) -> int:
    """Return the cells that plans may use: those in view, and one more where the view runs towards smaller coordinates."""
    rows = SIZE + (heading in (0, 1))
    columns = SIZE + (heading in (1, 2))
    row = (1 << columns) - 1
    return sum(row << (8 * number) for number in range(rows))


def _flood(free: int) -> int:
    """Return the cells that the agent can walk to."""
    reached = 1 << _START
    while True:
        grown = reached | reached << 8 | reached >> 8 | (reached & ~_LAST_COLUMN) << 1 | (reached & ~_FIRST_COLUMN) >> 1
        grown = grown & free & _ALL | 1 << _START
        if grown == reached:
            return reached
        reached = grown


def _numbered(objects: list[Seen]) -> Iterator[tuple[Seen, int]]:
    """Number objects of one name from 1."""
    counts: dict[str, int] = {}
    for seen in objects:
        counts[seen.name] = counts.get(seen.name, 0) + 1
        yield seen, counts[seen.name]


UNKNOWN = "The action is not recognized. Please check valid actions."

_PORTABLE = ("key", "ball", "box", "lava")
_SIMPLE = {"turn left": LEFT, "turn right": RIGHT, "move forward": FORWARD, "drop": DROP, "toggle": TOGGLE}
_TURN_LEFT, _TURN_RIGHT, _MOVE_FORWARD, _DROP, _TOGGLE, _CHECK = (
    Action(verb, verb) for verb in ("turn left", "turn right", "move forward", "drop", "toggle", CHECK)
)


__all__ = ["CHECK", "DROP", "FORWARD", "LEFT", "PICKUP", "RIGHT", "TOGGLE", "UNKNOWN", "Action", "Choices", "find_way"]
