"""The expert of BabyAI: minigrid's bot, whose primitives are put into actions.

The bot plans on a copy, from any state: what is carried at first is put down, parts of the mission that are done are left out.
Of the actions that lead to a later point of its way, the expert takes the one that leads furthest.

Where the bot has no plan of actions, there is none: a door that is to be opened once more and would have to be closed, two
doors in a given order, where minigrid 3 counts the first door as a wrong second one (`OpenDoorsOrderN4Debug`), and a key in a
box, which no published action opens (`KeyInBox`; with `numbering="fixed"` the expert opens it).
"""

from __future__ import annotations

from collections import Counter
from typing import Any, NamedTuple

from palaestra.envs.agentgym.babyai.plans import DROP, FORWARD, LEFT, PICKUP, RIGHT, TOGGLE, Action
from palaestra.envs.agentgym.babyai.view import AGENT_COLUMN, AGENT_ROW, DIRECTIONS
from palaestra.envs.agentgym.babyai.world import BabyAIWorld

MAX_PRIMITIVES = 2_000
MAX_VISITS = 8
"""How often the bot may come to one point; where it has no plan it may walk in circles."""
MAX_SEARCHES = 100
"""Searches of the bot for one primitive; where it has no plan it may search without end."""

_SIMPLE = {LEFT: "turn left", RIGHT: "turn right", FORWARD: "move forward", DROP: "drop", TOGGLE: "toggle"}
_HANDS = (PICKUP, DROP, TOGGLE)  # primitives that may change the level; the others move the agent

Pose = tuple[int, int, int]


class _LostError(Exception):
    """The bot has no plan, and searches on and on."""


class Point(NamedTuple):
    """A point of a way.

    Attributes:
        pose: Where the agent stands and looks to.
        changes: How often its hands have changed the level since the way began.
    """

    pose: Pose
    changes: int


class Route:
    """A way to accomplish the mission of a world.

    Args:
        world: Where it begins; it is not changed.

    Attributes:
        primitives: The bot's primitives, empty if it has no plan.
    """

    def __init__(self, world: BabyAIWorld) -> None:
        """Let the bot plan on a copy."""
        self.primitives, self._points, self._progress = _planned(world.copy())
        self._at = 0

    def next_command(self, world: BabyAIWorld) -> str:
        """Return the command that leads furthest along the way; empty if there is none, or the way was left.

        Args:
            world: The world, as the commands of this route have left it.
        """
        if self._at >= len(self.primitives) or pose_of(world.level) != self._points[self._at].pose:
            return ""
        ahead = self._ahead()
        found: list[tuple[int, str]] = []
        for action in world.choices.actions.values():
            plan = world.choices.plan(action) if action.target is not None else []
            if len(plan) > 1 and (reached := ahead.get(_end_of(self._points[self._at], plan))) is not None:
                found.append((reached, action.text))
        for reached, text in sorted(found, key=lambda pair: (-pair[0], pair[1])):
            if reached > self._at + 1 and self._leads_there(world, text, reached):
                self._at = reached
                return text
        primitive = self.primitives[self._at]
        self._at += 1
        text = _picking(world) if primitive == PICKUP else _SIMPLE[primitive]
        return text if text in world.choices.actions else ""

    def _ahead(self) -> dict[Point, int]:
        """Return the last index of each point that is still ahead."""
        return {point: index for index, point in enumerate(self._points) if index > self._at}

    def _leads_there(self, world: BabyAIWorld, text: str, reached: int) -> bool:
        """Whether a command ends at a point of the way, or accomplishes the mission: tried on a copy."""
        trial = world.copy()
        reply = trial.act(text)
        if reply.ended:
            return reply.value > 0
        if progress_of(trial.level.instrs) != self._progress[reached]:
            return False  # something on the way is part of the mission, and the shorter way passes it by
        return pose_of(trial.level) == self._points[reached].pose and bool(trial.view.carried) == self._carries(reached, world)

    def _carries(self, reached: int, world: BabyAIWorld) -> bool:
        """Whether something is carried at a later point of the way."""
        carries = bool(world.view.carried)
        for index in range(self._at, reached):
            if self.primitives[index] in (PICKUP, DROP):
                carries = self.primitives[index] == PICKUP
        return carries


def pose_of(level: Any) -> Pose:
    """Return where the agent of a level stands and looks to."""
    return int(level.agent_pos[0]), int(level.agent_pos[1]), int(level.agent_dir)


def _end_of(point: Point, plan: list[int]) -> Point:
    """Return where primitives lead if none of them is stopped."""
    (x, y, heading), changes = point
    for primitive in plan:
        if primitive == FORWARD:
            x, y = x + DIRECTIONS[heading][0], y + DIRECTIONS[heading][1]
        elif primitive in (LEFT, RIGHT):
            heading = (heading + (1 if primitive == RIGHT else -1)) % 4
        else:
            changes += 1
    return Point((x, y, heading), changes)


def _picking(world: BabyAIWorld) -> str:
    """Return the command that picks up what is directly ahead; empty if there is nothing."""

    def is_ahead(action: Action) -> bool:
        seen = action.target
        return seen is not None and (seen.column, seen.row) == (AGENT_COLUMN, AGENT_ROW - 1)

    return next((a.text for a in world.choices.actions.values() if a.verb == "pickup" and is_ahead(a)), "")


def progress_of(instruction: Any) -> tuple[Any, ...]:
    """Return which parts of a mission are done."""
    if not hasattr(instruction, "instr_a"):
        return ()
    parts = (instruction.instr_a, instruction.instr_b)
    return (instruction.a_done == "success", instruction.b_done == "success", *map(progress_of, parts))


def _planned(world: BabyAIWorld) -> tuple[list[int], list[Point], list[tuple[Any, ...]]]:
    """Return the primitives that accomplish the mission, where they lead and what is done there; all empty without a plan."""
    from minigrid.utils.baby_ai_bot import DisappearedBoxError

    level = world.level
    primitives: list[int] = []
    points = [Point(pose_of(level), 0)]
    progress = [progress_of(level.instrs)]
    visits: Counter[Point] = Counter()
    try:
        for bot in _stages(world):
            while len(primitives) < MAX_PRIMITIVES and (primitive := int(bot.replan())) <= TOGGLE:
                if primitive == TOGGLE and not world.is_fixed and not _can_be_toggled(level):
                    return [], [], []
                _, reward, terminated, _, _ = level.step(primitive)
                primitives.append(primitive)
                points.append(Point(pose_of(level), points[-1].changes + (primitive in _HANDS)))
                progress.append(progress_of(level.instrs))
                visits[points[-1]] += 1
                if visits[points[-1]] > MAX_VISITS:
                    return [], [], []
                if terminated:
                    return (primitives, points, progress) if reward > 0 else ([], [], [])
    except (_LostError, AssertionError, AttributeError, DisappearedBoxError, IndexError, TypeError):
        pass  # how the bot says that it has no plan
    return [], [], []


def _can_be_toggled(level: Any) -> bool:
    """Whether published actions toggle what is ahead: closed doors, and no others."""
    ahead = level.grid.get(*level.front_pos)
    return ahead is None or (ahead.type == "door" and not ahead.is_open)


def _stages(world: BabyAIWorld) -> Any:
    """Yield bots for what is to be done, each made when the last one has finished."""
    from minigrid.utils import baby_ai_bot as bots

    level = world.level
    make = _bot_class()
    if level.carrying is not None:
        bot = make(level, is_free=True)
        bot._process_obs()
        place = bot._find_drop_pos()
        if place is not None:
            bot.stack += [bots.DropSubgoal(bot), bots.GoNextToSubgoal(bot, place)]
            yield bot
    if world.is_fixed:
        for cell in list(level.grid.grid):
            if cell is not None and cell.type == "box" and cell.contains is not None:
                bot = make(level, is_free=True)
                bot.stack += [_toggling(bot), bots.GoNextToSubgoal(bot, tuple(cell.cur_pos))]
                yield bot
    yield make(level)


def _bot_class() -> Any:
    """Return the bot that leaves out what is done; made here because minigrid is imported when needed."""
    from minigrid.utils.baby_ai_bot import BabyAIBot

    class Bot(BabyAIBot):  # type: ignore[misc, unused-ignore]  # minigrid's is not typed everywhere
        def __init__(self, level: Any, *, is_free: bool = False) -> None:
            self._is_free = is_free
            self._most_searches = MAX_SEARCHES
            super().__init__(level)

        def replan(self, action_taken: Any = None) -> Any:
            self._most_searches = self.bfs_counter + MAX_SEARCHES
            return super().replan(action_taken)

        def _breadth_first_search(self, *given: Any, **more: Any) -> Any:
            if self.bfs_counter > self._most_searches:
                raise _LostError
            return super()._breadth_first_search(*given, **more)

        def _process_instr(self, instr: Any) -> None:
            if self._is_free:
                return
            for first, second in (("a", "b"), ("b", "a")):
                if getattr(instr, f"{first}_done", False) == "success":
                    self._process_instr(getattr(instr, f"instr_{second}"))
                    return
            super()._process_instr(instr)

        def _check_erroneous_box_opening(self, action: Any) -> None:
            if not self._is_free:
                super()._check_erroneous_box_opening(action)

    return Bot


def _toggling(bot: Any) -> Any:
    """Return the goal to toggle once what is ahead."""
    from minigrid.utils.baby_ai_bot import Subgoal

    class Toggling(Subgoal):  # type: ignore[misc, unused-ignore]
        def replan_before_action(self) -> Any:
            return self.actions.toggle

        def replan_after_action(self, action_taken: Any) -> None:
            self.bot.stack.pop()

    return Toggling(bot)


__all__ = ["Point", "Route", "pose_of"]
