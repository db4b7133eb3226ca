"""`palaestra/Desk-v0`: the Gymnasium face of the desk."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from palaestra.envs.core.tasks import Task
from palaestra.envs.core.text_env import Turn
from palaestra.envs.core.tool_env import ToolEnv
from palaestra.envs.core.typed import fits
from palaestra.envs.desk.goal import distance, is_right_answer, mending_plan
from palaestra.envs.desk.scene import day_text
from palaestra.envs.desk.tasks import LEVELS, desk_tasks
from palaestra.envs.desk.tools import EASY_TOOLS, DeskTools
from palaestra.envs.desk.world import TODAY, DeskWorld
from palaestra.envs.formats.hermes import format_call
from palaestra.envs.tools import Toolkit
from palaestra.errors import ConfigError
from palaestra.types import Json, Message, ToolCall

DONE = "Done."


class DeskEnv(ToolEnv):
    """Keep a desk: a calendar, notes and contacts, behind fourteen tools.

    Description: a request in plain words asks for a change of the desk or for something that it holds, e.g. "Move 'Winter
    tasting' to Thursday, 6 March at 14:30" or "What is the email address of Mara Lind?". Ids and addresses have to be looked
    up first. There are 23 intents with four or more phrasings each; a hard request joins two or three of them.

    Action: calls of the desk's tools, as an assistant `Message` with native tool calls or in their text form (see `ToolEnv`);
    a message without calls is the final answer and ends the episode. A call that fails changes nothing.

    Observation: at the start the date (not on the easy and the tiny desk, whose requests give dates as YYYY-MM-DD) and the
    request; then the results of the calls; at the end whether the task is solved, and if not, why.

    Reward: 1.0 with the final answer if the desk then holds exactly what it holds after the gold plan (ids and order do not
    count) and, for a question, the answer is right; else 0. `reward_parts` has the one part "task". An answer is right if it
    contains the gold answer and no answer to the same question about something else; times and counts are asked for alone
    and must stand alone. Letter case and punctuation do not count.

    Shaped reward: with `shaping` above 0 every message also brings `shaping` times the growth of `progress()`, the share of
    differences between the desk and the goal that are resolved: 0 at the start, 1 when all are, below 0 if more was broken.
    The end of the episode takes back what was paid, so that the sum is the reward above, whatever was played, and the best
    policy stays the best (Ng et al. 1999, potential-based shaping). `reward_parts` has it as "progress"; `score` and `success`
    are not touched. An episode that is cut off from outside, before `max_turns`, has nothing taken back.

    Termination: with the final answer. Truncation: after `max_turns` messages.

    Arguments:
        difficulty: "tiny" (five intents, seven tools, short requests, a nearly empty desk; titles, names and addresses are
            single words of one list, one token each for the tiny tokenizer, which a model of 0.2 million parameters learns to
            copy), "easy" (the same with titles and names of several words), "normal" (one intent of 23, fourteen tools) or
            "hard" (two or three intents in one request).
        max_calls_per_turn: Calls of one message that are run; further ones are refused.
        lenient: Also accept near misses in calls: a missing closing tag, "3" for 3, ...
        shaping: Weight of the shaped reward; 0 is off.
        split: Split that `reset` draws from: "train" (without end) or "test" (500 tasks). No goal is in both.
        max_turns: Number of messages after which the episode is truncated; None for no limit.
        render_mode: None or "ansi".

    Registered ids: `palaestra/Desk-v0` (difficulty "normal", 30 turns).

    Expert: plays the gold plan from the start of a task; from any other state it resolves the difference to the goal.

    Data: made by this package from its own word lists; nothing to download. No published source.

    Version history: v0, the first.
    """

    def __init__(
        self,
        *,
        difficulty: str = "normal",
        max_calls_per_turn: int = 8,
        lenient: bool = False,
        shaping: float = 0.0,
        split: str = "train",
        max_turns: int | None = None,
        render_mode: str | None = None,
    ) -> None:
        """Check the arguments and create an empty desk."""
        tasks = desk_tasks(difficulty)
        if isinstance(shaping, bool) or not isinstance(shaping, int | float) or not 0 <= shaping < float("inf"):
            raise ConfigError(f"shaping is {shaping!r}; expected a finite number from 0.")
        self.shaping = float(shaping)
        self.difficulty = difficulty
        self.world = DeskWorld()
        super().__init__(
            tasks,
            self._tools_on(self.world, lenient),
            rules=_rules(),
            max_calls_per_turn=max_calls_per_turn,
            lenient=lenient,
            split=split,
            max_turns=max_turns,
            render_mode=render_mode,
        )

    def expert(self) -> Iterator[str]:
        """Yield messages that solve the current task from its present state."""
        if self.task is None:
            return
        data = self.task.data
        is_at_start = self.world.content() == DeskWorld.from_json(data["world"]).content()
        for step in data["plan"] if is_at_start else mending_plan(self.world, data["content"]):
            yield format_call(ToolCall(step["name"], step["arguments"]))
        yield data["answer"]["gold"] if "answer" in data else DONE

    def progress(self) -> float:
        """Share of the differences between the start and the goal that are resolved, at least -1; 0 if there were none."""
        if self.task is None:
            return 0.0
        data = self.task.data
        at_start = distance(DeskWorld.from_json(data["world"]).content(), data["content"])
        return max(-1.0, 1.0 - distance(self.world.content(), data["content"]) / at_start) if at_start else 0.0

    def _act(self, action: str | Message) -> Turn:
        """Play a message; pay for progress if asked for."""
        if not self.shaping:
            return super()._act(action)
        before = self.progress()
        turn = super()._act(action)
        is_over = turn.terminated or self._num_turns + 1 >= self._limit
        growth = self.shaping * ((0.0 if is_over else self.progress()) - before)
        turn.score = turn.reward  # all reward of the task comes with its end
        turn.reward_parts = {"task": turn.reward, "progress": growth}
        turn.reward += growth
        return turn

    def _begin(self, task: Task) -> str:
        """Set the desk up."""
        self._load(task, task.data["world"])
        request: str = task.data["request"]
        return request if LEVELS[self.difficulty].is_easy else f"Today is {day_text(TODAY)} {TODAY.year}.\n{request}"

    def _finish(self, answer: str) -> Turn:
        """Compare the desk and the answer with the gold ones."""
        if self.task is None:
            return Turn("")
        data = self.task.data
        problems = []
        if self.world.content() != data["content"]:
            problems.append("the desk does not hold what was asked for")
        if "answer" in data and not is_right_answer(answer, **data["answer"]):
            problems.append("the answer is not right")
        if problems:
            return Turn(f"Not solved: {' and '.join(problems)}.")
        return Turn("Solved.", reward=1.0, success=True)

    def _save(self) -> Json:
        """Return the state of the desk."""
        return self.world.to_json()

    def _load(self, task: Task, state: Json) -> None:
        """Put the desk into a saved state."""
        self.world = DeskWorld.from_json(state)
        self.toolkit = self._tools_on(self.world, self.toolkit.lenient)

    def _check_restored(self) -> None:
        """Look also at what the task says, which the end of the episode is judged by."""
        assert self.task is not None
        data = self.task.data
        DeskWorld.from_json(data["world"])
        kinds = {"events": list[_EventRow], "notes": list[tuple[str, str]], "contacts": list[tuple[str, str, str]]}
        if data["content"].keys() != kinds.keys() or not all(fits(data["content"][kind], kinds[kind]) for kind in kinds):
            raise TypeError("the content of the task is not that of a desk")
        if not fits(data["request"], str) or not fits(data["plan"], list[dict[str, Any]]):
            raise TypeError("request or plan of the task are not of their types")
        for step in data["plan"]:
            format_call(ToolCall(step["name"], step["arguments"]))
        if "answer" in data:
            is_right_answer("", **data["answer"])

    def _tools_on(self, world: DeskWorld, lenient: bool) -> Toolkit:
        """Return the tools of this difficulty on a desk."""
        names = EASY_TOOLS if LEVELS[self.difficulty].is_easy else None
        return Toolkit(DeskTools(world), world=world, names=names, lenient=lenient)


_EventRow = tuple[str, str, str, str, str, list[str]]


@cache
def _rules() -> str:
    """Return the rules of the desk."""
    return Path(__file__).with_name("instructions.txt").read_text(encoding="utf-8")


__all__ = ["DeskEnv"]
