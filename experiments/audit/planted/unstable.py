"""Environments whose verdict depends on what it must not depend on."""

# ruff: noqa: D102, D107  (hooks of the class that each of these changes)

from __future__ import annotations

import datetime
import random
import time
from typing import Any, ClassVar

from experiments.audit.planted.bases import Chores, Vaults, text_of
from palaestra.envs.agentgym.textcraft.env import TextCraftEnv
from palaestra.envs.core.tasks import Task
from palaestra.envs.core.text_env import Turn
from palaestra.envs.desk.env import DeskEnv
from palaestra.envs.twenty_questions.env import TwentyQuestionsEnv
from palaestra.types import Json, Message

FAILED = "It does not count."


def _spoilt(turn: Turn) -> Turn:
    """Return the end of an episode that was to be a success, as a failure."""
    return Turn(FAILED, 0.0, True, False) if turn.success else turn


class DeskKeepsWorld(DeskEnv):
    """The desk is set up again only if the task is another one."""

    def _begin(self, task: Task) -> str:
        before = self.world
        told = super()._begin(task)
        if self.task is not None and self.task.key == task.key:
            self.world = before
            self.toolkit = self._tools_on(before, self.toolkit.lenient)
        return told


class ChoresKeepsList(Chores):
    """What was done in the last episode is still done in the next."""

    def _begin(self, task: Task) -> str:
        before = list(self.finished)
        told = super()._begin(task)
        self.finished = before
        return told


class VaultsRemembersSuccess(Vaults):
    """A vault that was opened once stays open."""

    def __init__(self, **kwargs: Any) -> None:
        self.opened: set[str] = set()
        super().__init__(**kwargs)

    def _judge(self, code: str) -> Turn:
        assert self.task is not None
        turn = super()._judge(code)
        if turn.success:
            self.opened.add(self.task.key)
        return Turn("It opens.", 1.0, True, True) if self.task.key in self.opened else turn

    def _act(self, action: str | Message) -> Turn:
        turn = super()._act(action)
        return self._judge("") if turn.action_error and self.task and self.task.key in self.opened else turn


class ChoresEveryThirdEpisode(Chores):
    """Every third episode fails whatever is done."""

    def __init__(self, **kwargs: Any) -> None:
        self.episodes = 0
        super().__init__(**kwargs)

    def _begin(self, task: Task) -> str:
        self.episodes += 1
        return super()._begin(task)

    def _judge(self) -> Turn:
        return super()._judge() if self.episodes % 3 else _spoilt(super()._judge())


class ChoresSetOrder(Chores):
    """The first chore of a set has to be done first: which one that is, Python's hash seed says."""

    def _judge(self) -> Turn:
        assert self.task is not None
        first = next(iter(set(self.task.data["wanted"])))
        turn = super()._judge()
        return _spoilt(turn) if self.finished[:1] != [first] and hash(first) % 2 else turn


class CraftDictOrder(TextCraftEnv):
    """The goal counts only if it comes first in a set of what is carried."""

    def _act(self, action: str | Message) -> Turn:
        turn = super()._act(action)
        if turn.success and hash(self.world.goal) % 3 == 0:
            return _spoilt(turn)
        return turn


class VaultsClock(Vaults):
    """A vault opens in even seconds."""

    def _judge(self, code: str) -> Turn:
        return super()._judge(code) if int(time.time()) % 2 else _spoilt(super()._judge(code))


class VaultsOfficeHours(Vaults):
    """A vault opens before noon."""

    def _judge(self, code: str) -> Turn:
        return super()._judge(code) if datetime.datetime.now().hour < 12 else _spoilt(super()._judge(code))


class DeskSlow(DeskEnv):
    """Whoever takes more than ten seconds has failed."""

    def _begin(self, task: Task) -> str:
        self.began = time.monotonic()
        return super()._begin(task)

    def _finish(self, answer: str) -> Turn:
        return super()._finish(answer) if time.monotonic() - self.began < 10 else _spoilt(super()._finish(answer))


class ChoresForgetsOnRestore(Chores):
    """How many chores were wrong is counted, and not kept in a snapshot."""

    def _begin(self, task: Task) -> str:
        self.count = 0
        return super()._begin(task)

    def _act(self, action: str | Message) -> Turn:
        self.count += text_of(action).startswith("do ")
        return super()._act(action)

    def _judge(self) -> Turn:
        assert self.task is not None
        return super()._judge() if self.count == len(self.task.data["wanted"]) else _spoilt(super()._judge())


class CraftRestoreGivesGoal(TextCraftEnv):
    """After a restore any command solves the task."""

    restored = False

    def reset(self, **kwargs: Any) -> tuple[str, dict[str, Any]]:
        self.restored = False
        return super().reset(**kwargs)

    def _load(self, task: Task, state: Json) -> None:
        self.restored = True
        super()._load(task, state)

    def _act(self, action: str | Message) -> Turn:
        turn = super()._act(action)
        return Turn(turn.observation, 1.0, True, True) if self.restored and not turn.action_error else turn


class QuestionsForgetsTurns(TwentyQuestionsEnv):
    """A restored game knows nothing of what was asked."""

    def _load_world(self, task: Task, state: Json) -> None:
        super()._load_world(task, {**state, "asked": [], "named": []} if isinstance(state, dict) else state)


class ChoresInOrder(Chores):
    """Chores count only in the order of the list, and no word says so."""

    def _judge(self) -> Turn:
        assert self.task is not None
        return super()._judge() if self.finished == self.task.data["wanted"] else _spoilt(super()._judge())


class CraftInOrder(TextCraftEnv):
    """Whoever takes the items in another order than the planner fails; no state shows it."""

    def _begin(self, task: Task) -> str:
        told = super()._begin(task)
        self.taken: list[str] = []
        return told

    def _act(self, action: str | Message) -> Turn:
        turn = super()._act(action)
        if not turn.action_error:
            self.taken.append(text_of(action))
        if turn.success:
            names = [text.split(" ", 2)[2] for text in self.taken if text.startswith("get ")]
            if self._planner is not None:
                plan = [c.split(" ", 2)[2] for c in self._planner.plan(self.world.goal, {}) or () if c.startswith("get ")]
                return turn if names == plan or not plan else _spoilt(turn)
        return turn


class ChoresFlag(Chores):
    """Two chores in the order of the alphabet spoil the task; a flag in the state keeps it."""

    def _begin(self, task: Task) -> str:
        self.flag = False
        return super()._begin(task)

    def _act(self, action: str | Message) -> Turn:
        wanted = self.task.data["wanted"] if self.task else []
        chore = text_of(action).partition(" ")[2]
        if chore in wanted and len(self.finished) < len(wanted) and chore != wanted[len(self.finished)]:
            self.flag = True
        return super()._act(action)

    def _judge(self) -> Turn:
        return _spoilt(super()._judge()) if self.flag else super()._judge()

    def _save(self) -> Json:
        return {"finished": list(self.finished), "flag": self.flag}

    def _load(self, task: Task, state: Json) -> None:
        super()._load(task, state)
        self.flag = state["flag"]


class DeskGlobalChance(DeskEnv):
    """One success in four is lost, by the global generator."""

    def _finish(self, answer: str) -> Turn:
        return _spoilt(super()._finish(answer)) if random.random() < 0.25 else super()._finish(answer)


class CraftLuck(TextCraftEnv):
    """One success in five is lost, by the seed of the episode."""

    def _act(self, action: str | Message) -> Turn:
        turn = super()._act(action)
        return _spoilt(turn) if turn.success and self.np_random.random() < 0.2 else turn


class ChoresSeedWorld(Chores):
    """With some seeds one of the chores cannot be done."""

    def _begin(self, task: Task) -> str:
        self.stuck = task.data["wanted"][0] if self.np_random.random() < 0.3 else ""
        return super()._begin(task)

    def _act(self, action: str | Message) -> Turn:
        if self.stuck and text_of(action) == f"do {self.stuck}":
            return Turn("It is stuck.", action_error="It is stuck.")
        return super()._act(action)


class VaultsNoise(Vaults):
    """The reward of a solved task is drawn."""

    full_return: ClassVar[float | None] = None

    def _judge(self, code: str) -> Turn:
        turn = super()._judge(code)
        turn.reward *= 0.5 + self.np_random.random()
        return turn


REPLAY, ELSEWHERE, RESTORE, ORDER = "stability.replay", "stability.elsewhere", "stability.restore", "stability.order"
FLIPS = ("flips.expert", "flips.luck")
DEFECTS: dict[str, tuple[str | tuple[str, ...], str]] = {
    "DeskKeepsWorld": (REPLAY, "the desk of the last episode stays where the task is the same"),
    "ChoresKeepsList": (REPLAY, "what was done stays done in the next episode"),
    "VaultsRemembersSuccess": (REPLAY, "a task that was solved once is solved by anything"),
    "ChoresEveryThirdEpisode": (REPLAY, "every third episode fails"),
    "ChoresSetOrder": (ELSEWHERE, "the verdict depends on the order of a set"),
    "CraftDictOrder": (ELSEWHERE, "the verdict depends on hash()"),
    "VaultsClock": ((ELSEWHERE, REPLAY), "the verdict depends on the second"),
    "VaultsOfficeHours": (ELSEWHERE, "the verdict depends on the hour"),
    "DeskSlow": (ELSEWHERE, "the verdict depends on how long play takes"),
    "ChoresForgetsOnRestore": (RESTORE, "a count that decides is not part of a snapshot"),
    "CraftRestoreGivesGoal": (RESTORE, "after a restore anything solves the task"),
    "QuestionsForgetsTurns": (RESTORE, "a restored game has forgotten what was asked"),
    "ChoresInOrder": (ORDER, "independent actions count in one order only"),
    "CraftInOrder": (ORDER, "items count in one order only, and no state shows it"),
    "ChoresFlag": (ORDER, "another order sets a flag that spoils the task"),
    "DeskGlobalChance": ((REPLAY, ELSEWHERE), "a fourth of the successes are lost by the global generator"),
    "CraftLuck": (FLIPS, "a fifth of the successes are lost by the seed"),
    "ChoresSeedWorld": (FLIPS, "with some seeds the task cannot be solved"),
    "VaultsNoise": (FLIPS, "the reward of a solved task is drawn"),
}
