"""The world of BabyAI: a level of minigrid, told in text and played by text commands.

Texts and plans are word for word those of AgentGym's wrapper. Its faults are left out of the world's own verdict: a mission
that is accomplished in the middle of an action stays so, an episode of little reward ends as well, and its value counts once.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any, NamedTuple

from palaestra.envs.agentgym.babyai.engine import begin_level
from palaestra.envs.agentgym.babyai.plans import CHECK, Choices
from palaestra.envs.agentgym.babyai.state import load_level, save_level
from palaestra.envs.agentgym.babyai.view import AGENT_COLUMN, AGENT_ROW, View, look
from palaestra.envs.core.typed import fits
from palaestra.types import Json

NO_CHANGE = "No change in state."
COMPLETED = "\n The task is completed."
FAILED = "\n The task can no longer be completed."


class Reply(NamedTuple):
    """What one command did.

    Attributes:
        text: The world's answer, without the actions.
        published: The answer of the published wrapper, without the actions; it looks at the last primitive alone.
        problem: Why nothing was done; empty if something was.
        ended: The mission was accomplished, or failed, by this command.
        value: What it is worth, 0 to 1; 0 unless it was accomplished.
        last_ended: Whether minigrid ended the episode at the last primitive, which is all that the published wrapper looks at.
        last_reward: minigrid's reward for the last primitive; None where none was played.
    """

    text: str
    published: str
    problem: str = ""
    ended: bool = False
    value: float = 0.0
    last_ended: bool = False
    last_reward: float | None = None


class BabyAIWorld:
    """State of one episode.

    Args:
        name: Name of the level.
        level: The level, begun.
        is_fixed: Whether objects have one number each; see `Choices`.
    """

    def __init__(self, name: str, level: Any, *, is_fixed: bool = False) -> None:
        """Take over a level."""
        self.name = name
        self.level = level
        self.is_fixed = is_fixed
        self._view: View = first_look(level)
        self._choices: Choices | None = None

    @classmethod
    def begin(cls, name: str, seed: int, *, is_fixed: bool = False) -> BabyAIWorld:
        """Return the world at the start of a seed."""
        return cls(name, begin_level(name, seed), is_fixed=is_fixed)

    @cached_property
    def goal(self) -> str:
        """The mission as it is told: parts joined by "and", whatever their order."""
        told: str = self.level.mission
        return told.replace("then", "and").replace("after you", "and")

    @property
    def view(self) -> View:
        """What the agent sees."""
        return self._view

    @property
    def choices(self) -> Choices:
        """The actions that can be taken."""
        if self._choices is None:
            self._choices = Choices(self._view, is_fixed=self.is_fixed)
        return self._choices

    def observation(self) -> str:
        """Return the state as text, without the actions."""
        view = self._view
        if view.is_blank:
            parts = ["You cannot see any objects within sight."]
        else:
            parts = ["In front of you in this room, you can see several objects: "]
        counts: dict[str, int] = {}
        for seen in view.objects:
            counts[seen.name] = number = counts.get(seen.name, 0) + 1
            ahead, right = AGENT_ROW - seen.row, seen.column - AGENT_COLUMN
            if right == 0:
                place = f"right in front of you {ahead} steps away"
            else:
                place = f"{ahead} steps in front of you and {abs(right)} steps to your {'right' if right > 0 else 'left'}"
            parts.append(f"There is a {seen.name} {number} {place}.  ")
        parts.append("The room has walls around you. ")
        if view.facing is not None:
            parts.append(f"You are facing a {view.facing[0]} {view.facing[1]} steps away. ")
        parts.append(f"You are carrying a {view.carried}." if view.carried else "You are not carrying anything.")
        return "".join(parts)

    def listed(self) -> str:
        """Return the line of actions."""
        return "\nAvailable actions: [" + ", ".join(f'"{text}"' for text in self.choices.actions) + "]"

    def act(self, command: str) -> Reply:
        """Execute a command; one that cannot be executed changes nothing.

        Args:
            command: One of `choices.actions`; `pick up` for `pickup`, and capitals, are taken as well.
        """
        text = command.lower().strip()
        actions = self.choices.actions
        if "check" in text:
            listed = "You can take the following actions: " + ", ".join(actions)
            return Reply(listed, listed)
        if not text:
            return Reply(NO_CHANGE, NO_CHANGE, NO_CHANGE)
        action = actions.get(text)
        if action is None and text.startswith("pick up "):
            text = "pickup " + text.removeprefix("pick up ")
            action = actions.get(text)
        if action is None:
            problem = self.choices.problem(text)
            return Reply(problem, problem, problem)
        plan = self.choices.plan(action)
        return self.play(plan) if plan else Reply(NO_CHANGE, NO_CHANGE, NO_CHANGE)

    def play(self, plan: list[int]) -> Reply:
        """Play primitives, up to the first that leaves the view as it is."""
        ended = accomplished = last_ended = False
        value = last_reward = 0.0
        for primitive in plan:
            _, reward, last_ended, _, _ = self.level.step(primitive)
            last_reward = float(reward)
            if last_ended and not (ended and not accomplished):
                ended = True
                if last_reward != 0:  # minigrid gives 0 where a mission has failed
                    accomplished, value = True, max(last_reward, 0.0)
            view = look(self.level)
            is_same = view.image == self._view.image
            self._view, self._choices = view, None
            if is_same:
                break
        state = self.observation()
        text = state + (COMPLETED if accomplished else FAILED) if ended else state
        published = state + COMPLETED if last_ended else state
        return Reply(text, published, "", ended, value, last_ended, last_reward)

    def to_json(self) -> Json:
        """Return the whole state."""
        return {"level": self.name, "is_fixed": self.is_fixed, **save_level(self.level)}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> BabyAIWorld:
        """Rebuild from `to_json()`.

        Raises:
            KeyError, TypeError, ValueError: If it is not the state of a world.
        """
        if not fits(data["is_fixed"], bool):
            raise TypeError("is_fixed is neither true nor false")
        return cls(data["level"], load_level(data["level"], data), is_fixed=data["is_fixed"])

    def copy(self) -> BabyAIWorld:
        """Return an independent world in the same state."""
        return BabyAIWorld.from_json(self.to_json())

    def __eq__(self, other: object) -> bool:
        """Whether two worlds are in the same state."""
        return isinstance(other, BabyAIWorld) and self.to_json() == other.to_json()

    __hash__ = None  # type: ignore[assignment]  # worlds change; hash env.state_hash() instead

    def __repr__(self) -> str:
        """Show level and mission."""
        return f"BabyAIWorld({self.name!r}, mission={self.level.mission!r})"


def first_look(level: Any) -> View:
    """Return the view before the first step: what is carried from the start still lies on the floor."""
    carried = level.carrying
    if carried is None or level.step_count or carried.cur_pos is None:
        return look(level)
    x, y = (int(number) for number in carried.cur_pos)
    place = y * level.grid.width + x
    if not 0 <= place < len(level.grid.grid) or level.grid.grid[place] is not None:
        return look(level)
    level.grid.grid[place], level.carrying = carried, None
    try:
        view = look(level)
    finally:
        level.grid.grid[place], level.carrying = None, carried
    return view._replace(carried=f"{carried.color} {carried.type}")


__all__ = ["CHECK", "NO_CHANGE", "BabyAIWorld", "Reply"]
