"""`palaestra/CriticTool-v0`: the Gymnasium face of items."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar, Literal

from palaestra.envs.core.tasks import Task
from palaestra.envs.core.text_env import TextEnv, Turn
from palaestra.envs.critic.actions import Names, SampleAction, dialogue, read_action, written
from palaestra.envs.critic.blocks import MODES, Form, Mode, insert, instruction
from palaestra.envs.critic.documents import PROFILES, Profile
from palaestra.envs.critic.paper import MAX_ACTIONS
from palaestra.envs.critic.record import Record
from palaestra.envs.critic.scoring import Scored
from palaestra.envs.critic.similarity import similarity_of
from palaestra.envs.critic.tasks import critic_tasks
from palaestra.envs.critic.world import CriticWorld
from palaestra.errors import ConfigError, UsageError, unknown_name
from palaestra.results.metrics import SHARE, Metric
from palaestra.types import Json, Message

FORMS: tuple[Form, ...] = ("json", "calls")
METRICS: tuple[Metric, ...] = (
    Metric("detect", "higher", SHARE, "an error is claimed where there is one, and none where there is none"),
    Metric("category", "higher", SHARE, "the error is the one that was claimed"),
    Metric("tool", "higher", SHARE, "the tool is the expected one"),
    Metric("args", "higher", SHARE, "how far the arguments are the expected ones"),
    Metric("thought", "higher", SHARE, "how far the thought is the expected one"),
    Metric("retry", "higher", SHARE, "the failed call was repeated first"),
    Metric("break", "higher", SHARE, "something else was done before the retries were used up"),
    Metric("parse_rate", "higher", SHARE, "everything that was asked for could be read"),
)


class CriticEnv(TextEnv):
    """See that a tool call was wrong or failed, name the error, and take the step that follows.

    ## Description
    Every task is the beginning of a dialogue in which a user's list is worked off with tools. With `mode="internal"` the last
    step is wrong in one of four ways, or right: a tool that does not fit, one that does not exist, a wrong set of parameters,
    a wrong value. With `mode="skip"` and `mode="finish"` it was right and its tool failed (rate limit, timeout, ...): then the
    call is to be repeated, at most three times, and after that the next step taken, or the user asked.

    ## Action
    With `form="json"` one JSON object, `{"error"?, "thought"?, "name", "args"}`, as published; with `form="calls"` a tool
    call, native or in the form of `palaestra.envs.formats.hermes`, with `<critique>{"error": ...}</critique>` or a JSON object
    with `error` in the text next to it. Either form is read in both. The name `FinishAction` ends the task or reports to the
    user.

    ## Observation
    First the dialogue, then, as long as the failed call is repeated, the same failure again. `info` of the last step has
    `scored`: the item's label, the scores, and the behaviour in one word.

    ## Reward
    At the end the item's part of Overall, from 0 to 1. Internal: 0.4 mean(detect, category) + 0.6 mean(tool, args), after a
    right step 0.4 detect + 0.6 mean(tool, args) of the next one (Overall counts detect alone there, so that any action would
    do). External: 0.1 retry + 0.9 mean(break, tool, args), for "finish" without args. Success: each of them is 1 (arguments at
    least 0.99).

    ## Termination and truncation
    Terminated by the action of an internal item, and of an external one by another action than the failed call, or the fourth.
    A message without an action that can be read is answered so and costs a turn; truncated after `max_turns` messages.

    ## Arguments
    * `mode`: "internal", "skip" or "finish".
    * `cot`: whether actions have thoughts; with them `thought` is measured, which does not count in the reward.
    * `items`: a file or folder of items (`palaestra.envs.critic.open_items`) in place of made ones: published or `critic/1`.
    * `profile`: "paper" (as the paper describes) or "published" (bug for bug: also how replies are read and retries end).
    * `form`: "json" or "calls": in which form tools are shown and actions asked for.
    * `similarity`: "bow", or "embed:PATH" with a local `transformers` model.
    * `split`: "train" or "test"; by default "train", of a file its first split.
    * `max_turns`: messages after which the episode is truncated; "auto" is 1 for internal items and 4 for the others, so that
      the first answer counts, as in the paper.

    Registered ids: `palaestra/CriticTool-v0`.

    Expert: the expected actions with the right label; of external items one retry first. On published items the scorers may
    pay them less than 1.

    Data: made by this package: 22 tools of 9 domains; labels are equally frequent, the test split holds 200 items of each.
    Published items are read from `items`; they are not shipped.

    Papers:
        CriticTool (arXiv:2506.13977): items, measures, both scorers, its table. Left out: its data, hosted elsewhere.

    Version history: v0, the first.
    """

    results = "palaestra.envs.critic.results:critic_results"
    metrics = METRICS
    snapshot_fields: ClassVar[tuple[str, ...]] = (*TextEnv.snapshot_fields, "_unread")
    snapshot_types: ClassVar[Mapping[str, Any]] = MappingProxyType({**TextEnv.snapshot_types, "_unread": list[str]})

    def __init__(
        self,
        *,
        mode: Mode = "internal",
        cot: bool = False,
        items: str | Path | None = None,
        profile: Profile = "paper",
        form: Form = "json",
        similarity: str = "bow",
        split: str | None = None,
        max_turns: int | Literal["auto"] | None = "auto",
        render_mode: str | None = None,
    ) -> None:
        """Check the arguments, and read the items if there is a file."""
        for what, value, known in (("mode", mode, MODES), ("profile", profile, PROFILES), ("form", form, FORMS)):
            if not isinstance(value, str) or value not in known:
                raise unknown_name(what, str(value), known)
        if not isinstance(cot, bool):
            raise ConfigError(f"cot is {cot!r}; expected True or False.")
        if isinstance(max_turns, str) and max_turns != "auto":
            raise ConfigError(f"max_turns is {max_turns!r}; expected a number, 'auto' or None.")
        self.mode, self.cot, self.profile, self.form, self.similarity = mode, cot, profile, form, similarity
        measured = _measured(mode, cot, profile)
        self.metrics = tuple(one for one in METRICS if one.name in measured)  # type: ignore[misc]
        self._similarity = similarity_of(similarity)
        self._world: CriticWorld | None = None
        self._names = Names(())
        self._unread: list[str] = []
        if items is not None:
            self.full_return = None  # type: ignore[misc]
        tasks = critic_tasks(mode, cot, items)
        super().__init__(
            tasks,
            split=split or ("train" if "train" in tasks.splits else tasks.splits[0]),
            max_turns=({"internal": 1}.get(mode, MAX_ACTIONS)) if max_turns == "auto" else max_turns,
            sampler=SampleAction(None, form),
            render_mode=render_mode,
        )

    @property
    def world(self) -> CriticWorld:
        """The item in play.

        Raises:
            UsageError: Before the first `reset`.
        """
        if self._world is None:
            raise UsageError("There is no item before reset(); call reset() first.")
        return self._world

    def instructions(self) -> str:
        """Return the system message of the item with what is told about errors; for calls the rules without the tools."""
        told = instruction(self.mode, cot=self.cot, form=self.form)
        if self.form == "calls":
            return f"{_rules()}\n{told}"
        if self._world is None:
            return told
        system = next((one["content"] for one in self.world.record.messages if one["role"] == "system"), "")
        return insert(system, told)

    def tools(self) -> list[dict[str, Json]]:
        """Return the tools of the item for native calls; none with `form="json"`, whose instructions hold them."""
        return [] if self._world is None or self.form == "json" else self._names.schemas(self.world.record)

    def expert(self) -> Iterator[str]:
        """Yield the expected actions with the right label; of external items one retry first."""
        label = self.world.record.label if self.mode == "internal" else ""
        for action in self.world.golden():
            yield written(action, label, self._names, self.form)

    def _begin(self, task: Task) -> str:
        """Show the dialogue of an item."""
        self._load(task, [])
        self._unread = []
        return dialogue(self.world.record, self._names, self.form)

    def _act(self, action: str | Message) -> Turn:
        """Take a reply: score it if it is the last, answer it with the failure again otherwise."""
        world = self.world
        text, problem = read_action(action, self._names)
        if problem := problem or world.problem(text):
            self._unread.append(text)
            is_last = self._num_turns + 1 >= self._limit
            return Turn(problem, action_error=problem, **(_figures(world.scored(self._unread)) if is_last else {}))
        world.play(text)
        if not world.is_over:
            return Turn(world.record.messages[-1]["content"])
        scored = world.scored(self._unread)
        return Turn(
            _verdict(scored), world.reward(scored), terminated=True, success=world.is_solved(scored), **_figures(scored)
        )

    def _save(self) -> Json:
        """Return the replies so far."""
        return list(self.world.replies)

    def _load(self, task: Task, state: Json) -> None:
        """Play the replies of a state again."""
        record = Record.of(dict(task.data), task.key)
        world = CriticWorld(record, self.mode, self.profile, self._similarity)
        for text in state:
            if world.is_over or not isinstance(text, str) or world.problem(text):
                raise ValueError("it holds a reply that could not have been played")
            world.play(text)
        self._world = world
        self._names = Names(tool["function"]["name"] for tool in record.tools)
        self.action_space.sampler = SampleAction(record, self.form)  # type: ignore[attr-defined]

    def _check_restored(self) -> None:
        """Refuse an episode that continues although its item is over."""
        if self._playing and self.world.is_over:
            raise ValueError("the item is over, and the episode is not")


def _measured(mode: Mode, cot: bool, profile: Profile) -> set[str]:
    """Return the names of what is measured in a mode."""
    thought = {"thought"} if cot and (mode != "finish" or profile == "published") else set()
    if mode == "internal":
        return {"detect", "category", "tool", "args", "parse_rate"} | thought
    return {"retry", "break", "tool", "parse_rate"} | ({"args"} if mode == "skip" else set()) | thought


def _figures(scored: Scored) -> dict[str, Any]:
    """Return metrics and info of the end of an item."""
    return {"metrics": dict(scored.scores), "info": {"scored": scored.to_json()}}


def _verdict(scored: Scored) -> str:
    """Return the words for an end."""
    shown = ", ".join(f"{name} {value:.2f}" for name, value in scored.scores.items())
    return f"{scored.behaviour.replace('_', ' ').capitalize()}: {shown}."


@cache
def _rules() -> str:
    """Return the opening of the instructions of calls."""
    return Path(__file__).with_name("calls.txt").read_text(encoding="utf-8").strip()


__all__ = ["FORMS", "METRICS", "CriticEnv"]
