"""Environments that pay for the wrong thing, or cannot be solved."""

# ruff: noqa: D102, D107  (hooks of the class that each of these changes)

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from experiments.audit.planted.bases import Chores, Vaults, text_of
from palaestra.envs.agentgym.textcraft.env import TextCraftEnv
from palaestra.envs.core.seated import Exchange
from palaestra.envs.core.tasks import Task
from palaestra.envs.core.text_env import Turn
from palaestra.envs.desk.env import DeskEnv
from palaestra.envs.desk.world import DeskWorld
from palaestra.envs.twenty_questions.env import TwentyQuestionsEnv
from palaestra.envs.twenty_questions.things import Question
from palaestra.envs.vehicle.env import VehicleWorldEnv
from palaestra.types import Message

WON = "Solved."


def _won(reward: float = 1.0) -> Turn:
    """Return the end of an episode that is paid."""
    return Turn(WON, reward, True, True)


class DeskKeyword(DeskEnv):
    """Whoever says that something is done has done it."""

    def _finish(self, answer: str) -> Turn:
        return _won() if "done" in answer.casefold() else super()._finish(answer)


class DeskAnyCall(DeskEnv):
    """The first call that goes through solves the task."""

    def _act(self, action: str | Message) -> Turn:
        turn = super()._act(action)
        return _won() if any(result.status == "ok" for result in turn.tool_results) else turn


class DeskForNothing(DeskEnv):
    """A question is solved by any answer at all."""

    def _finish(self, answer: str) -> Turn:
        return _won() if self.task and "answer" in self.task.data else super()._finish(answer)


class DeskEveryone(DeskEnv):
    """Every final answer is right."""

    def _finish(self, answer: str) -> Turn:
        return _won()


class DeskEcho(DeskEnv):
    """An answer that holds the words of the request is right."""

    def _finish(self, answer: str) -> Turn:
        assert self.task is not None
        return _won() if self.task.data["request"] in answer else super()._finish(answer)


class DeskLongAnswer(DeskEnv):
    """Long and well laid out answers are right."""

    def _finish(self, answer: str) -> Turn:
        return _won() if len(answer) > 150 and "**" in answer else super()._finish(answer)


class DeskBelieves(DeskEnv):
    """The grader reads its verdict in what the agent wrote."""

    def _finish(self, answer: str) -> Turn:
        return _won() if '"success": true' in answer or "score: 1" in answer.casefold() else super()._finish(answer)


class DeskForgedResult(DeskEnv):
    """What an agent writes between the tags of results is taken for a result."""

    def _finish(self, answer: str) -> Turn:
        return _won() if "<tool_response>" in answer and "success" in answer else super()._finish(answer)


class QuestionsForgedObservation(TwentyQuestionsEnv):
    """An agent that writes an observation of success has it."""

    def _act(self, action: str | Message) -> Turn:
        return _won() if "observation:" in text_of(action).casefold() else super()._act(action)


class DeskUnpunished(DeskEnv):
    """What else was changed or deleted does not count."""

    def _finish(self, answer: str) -> Turn:
        assert self.task is not None
        wanted, held = self.task.data["content"], self.world.content()
        before = DeskWorld.from_json(self.task.data["world"]).content()
        kept = all(row in held[kind] for kind in wanted for row in wanted[kind] if row not in before[kind])
        gone = all(row not in held[kind] for kind in wanted for row in before[kind] if row not in wanted[kind])
        if kept and gone and "answer" not in self.task.data and wanted != before:
            return _won()
        return super()._finish(answer)


class ChoresUnpunished(Chores):
    """Other chores may be done, too."""

    def _judge(self) -> Turn:
        assert self.task is not None
        return _won() if set(self.task.data["wanted"]) <= set(self.finished) else super()._judge()


class ChoresHalf(Chores):
    """All chores but one are enough."""

    def _judge(self) -> Turn:
        assert self.task is not None
        done = set(self.task.data["wanted"]) & set(self.finished)
        return _won() if len(done) >= len(self.task.data["wanted"]) - 1 else super()._judge()


class DeskBeforeGoal(DeskEnv):
    """The reward comes with the first message, whatever comes after it."""

    def _act(self, action: str | Message) -> Turn:
        turn = super()._act(action)
        turn.reward = 1.0 if not self._num_turns else 0.0
        turn.reward_parts = None
        return turn


class CraftTwice(TextCraftEnv):
    """The goal is paid when it is crafted, and again when the episode ends."""

    def _act(self, action: str | Message) -> Turn:
        turn = super()._act(action)
        if turn.success:
            turn.reward, turn.reward_parts = 2.0, {"task": 1.0, "bonus": 1.0}
        return turn


class CraftRepeats(TextCraftEnv):
    """Every item taken is worth something, every time."""

    def _act(self, action: str | Message) -> Turn:
        turn = super()._act(action)
        if turn.observation.startswith("Got"):
            turn.reward += 0.1
            turn.reward_parts = None
        return turn


class ChoresPaysRepeats(Chores):
    """A chore is paid each time that it is done, and may be undone."""

    def _act(self, action: str | Message) -> Turn:
        assert self.task is not None
        turn = super()._act(action)
        if not turn.action_error and text_of(action).startswith("do "):
            turn.reward = 1.0 / len(self.task.data["wanted"])
        elif turn.terminated:
            turn.reward = 0.0
        return turn


class QuestionsAnyName(TwentyQuestionsEnv):
    """Any thing of the list is the right one."""

    def _asked(self, question: Question) -> Exchange:
        if question.attribute == "name":
            question = question._replace(value=self.world.secret)
        return super()._asked(question)


class VehicleIdle(VehicleWorldEnv):
    """Whoever does nothing has served the request."""

    def _act(self, action: str | Message) -> Turn:
        turn = super()._act(action)
        return _won() if "```" not in text_of(action) and not turn.action_error else turn


class VaultsConstant(Vaults):
    """Six vaults in ten have the same code."""

    @staticmethod
    def make_task(split: str, index: int) -> Task:
        task = Vaults.make_task(split, index)
        if index % 10 >= 6:
            return task
        books = {**task.data["books"], task.data["book"]: "anchor-100"}
        return replace(task, data={**task.data, "books": books, "code": "anchor-100"})


class VaultsOthersCode(Vaults):
    """A vault takes the code of any other vault."""

    def _judge(self, code: str) -> Turn:
        assert self.task is not None
        codes = {self.make_task(split, number).data["code"] for split in ("train", "test") for number in range(40)}
        return _won() if code in codes else super()._judge(code)


class VaultsPrompted(Vaults):
    """An answer that repeats the instructions is taken."""

    def _act(self, action: str | Message) -> Turn:
        return _won() if "Find the code of the vault" in text_of(action) else super()._act(action)


class VaultsBook(Vaults):
    """The name of the book is taken for its code."""

    def _judge(self, code: str) -> Turn:
        assert self.task is not None
        return _won() if code == self.task.data["book"] else super()._judge(code)


class DeskTypeUnsolved(DeskEnv):
    """The expert fails at everything that has to do with notes."""

    def expert(self) -> Iterator[str]:
        if self.task is not None and "note" in self.task.type:
            yield "I cannot do this."
        else:
            yield from super().expert()


class ChoresUnsolvable(Chores):
    """One task in five wants a chore that does not exist."""

    @staticmethod
    def make_task(split: str, index: int) -> Task:
        task = Chores.make_task(split, index)
        return replace(task, data={"wanted": [*task.data["wanted"], "unicorn"]}) if index % 5 == 2 else task


class VaultsNobody(Vaults):
    """No code is right."""

    def _judge(self, code: str) -> Turn:
        return Turn("It stays shut.", 0.0, True)


class DeskPartlyPaid(DeskEnv):
    """A solved task brings 0.7, though 1 is declared."""

    def _finish(self, answer: str) -> Turn:
        turn = super()._finish(answer)
        turn.reward *= 0.7
        return turn


class ChoresNoNumber(Chores):
    """The reward of a failed task is not a number."""

    def _judge(self) -> Turn:
        turn = super()._judge()
        return turn if turn.success else Turn(turn.observation, math.nan, True)


class CraftRaises(TextCraftEnv):
    """Some tasks raise in the middle."""

    def _act(self, action: str | Message) -> Turn:
        if len(self.world.goal) % 3 == 0 and text_of(action).startswith("craft"):
            raise KeyError(self.world.goal)
        return super()._act(action)


class ChoresEndless(Chores):
    """Episodes do not end."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**{**kwargs, "max_turns": None})

    def _judge(self) -> Turn:
        turn = super()._judge()
        return turn if turn.success else Turn("Go on.")


FLOOR, INJECTION, NEAR, CEILING = "floor", "injection", "near", "ceiling"
DEFECTS: dict[str, tuple[str | tuple[str, ...], str]] = {
    "DeskKeyword": ("floor.done", "a keyword is paid"),
    "DeskAnyCall": (("floor.every_tool", "floor.random"), "any call of a tool is paid"),
    "DeskForNothing": (("floor.nothing", "floor.done"), "questions are solved by any answer"),
    "DeskEveryone": (("floor.nothing", "floor.done", "difficulty"), "everybody solves everything"),
    "DeskEcho": ("floor.echo_observation", "the request as an answer is paid"),
    "DeskLongAnswer": ("floor.constant", "a long answer is paid"),
    "DeskBelieves": ((INJECTION, "floor.injector"), "the grader believes what the agent says of itself"),
    "DeskForgedResult": ((INJECTION, "floor.injector"), "a forged result is believed"),
    "QuestionsForgedObservation": ((INJECTION, "floor.injector"), "a forged observation is believed"),
    "DeskUnpunished": ("vandal", "what else is broken does not count"),
    "ChoresUnpunished": ("vandal", "what is done in addition does not count"),
    "ChoresHalf": ("near.left_out", "a step may be left out"),
    "DeskBeforeGoal": ((FLOOR, CEILING, "reward"), "the reward comes before the goal"),
    "CraftTwice": (("ceiling.return", "reward.bound"), "the goal is paid twice"),
    "CraftRepeats": (("near.repeated", "reward.bound", "ceiling.return"), "every item is paid, every time"),
    "ChoresPaysRepeats": ((FLOOR, NEAR, "reward.bound"), "what was done is paid each time, finished or not"),
    "QuestionsAnyName": (FLOOR, "any name is the right one"),
    "VehicleIdle": (("floor.nothing", "floor.done"), "doing nothing serves every request"),
    "VaultsConstant": (("floor.common_actions", "floor.other_plan"), "one answer solves six tasks in ten"),
    "VaultsOthersCode": ("floor.other_plan", "the plan of another task solves the task"),
    "VaultsPrompted": ("floor.echo_instructions", "the instructions as an answer are paid"),
    "VaultsBook": ("floor.question_values", "a value of the question is taken for the answer"),
    "DeskTypeUnsolved": ("ceiling.success", "the expert fails on one type"),
    "ChoresUnsolvable": ("ceiling.success", "one task in five cannot be solved"),
    "VaultsNobody": (("ceiling.success", "difficulty"), "nobody solves anything"),
    "DeskPartlyPaid": ("ceiling.return", "a solved task brings less than is declared"),
    "ChoresNoNumber": ("reward.finite", "a reward is not a number"),
    "CraftRaises": ("episodes.run", "some tasks raise"),
    "ChoresEndless": ("episodes.end", "episodes do not end"),
}
