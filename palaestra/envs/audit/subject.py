"""The environment under audit: how it is made, the tasks that are played, and what the expert did in them."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import gymnasium
import numpy as np

from palaestra.envs.audit.effort import EFFORTS, Effort, Level
from palaestra.envs.audit.play import Episode, Play, Policy, Start, play
from palaestra.envs.check.subject import Env
from palaestra.envs.core.tasks import Task, task_seed
from palaestra.envs.registration import Cost, conditions, find_spec
from palaestra.errors import unknown_name
from palaestra.results.metrics import NOTHING_TO_DO
from palaestra.spaces import TextSpace

MAX_ACTIONS = 200
"""Actions after which an episode that has not ended is cut."""
TRAIN = "train"
MAX_LIMIT = 1000
"""An environment's own limit up to which its episodes are played to their end."""


@dataclass
class Subject:
    """An environment under audit. Everything that is played twice alike is played once and kept.

    Attributes:
        env_id: Registered id.
        arguments: Arguments that it is made with.
        n: Tasks to play.
        seed: Seed of all that is drawn.
        wanted_split: Split to play; None for "test", or if there is none the default split.
        level: How much is played of what does not follow from `n`; None for what the registration says.
    """

    env_id: str
    arguments: Mapping[str, Any] = field(default_factory=dict)
    n: int = 100
    seed: int = 0
    wanted_split: str | None = None
    level: Level | None = None
    _env: Env | None = field(default=None, repr=False)
    _played: dict[str, list[Play]] = field(default_factory=dict, repr=False)

    # -- environments ---------------------------------------------------------------------------------------------

    @property
    def cost(self) -> Cost:
        """What a step costs, as the registration says."""
        return conditions(find_spec(self.env_id).id).cost

    @cached_property
    def effort(self) -> Effort:
        """How much is played of what does not follow from `n`."""
        return EFFORTS[self.level or self.cost]

    def make(self, **kwargs: Any) -> Env:
        """Return a fresh environment; keyword arguments are added to those of the audit."""
        spec = find_spec(self.env_id)
        return gymnasium.make(spec, disable_env_checker=True, **{**self.arguments, **kwargs})

    def open(self, **kwargs: Any) -> contextlib.closing[Env]:
        """Make an environment and close it at the end."""
        return contextlib.closing(self.make(**kwargs))

    @property
    def env(self) -> Env:
        """The environment that episodes are played in one after the other."""
        if self._env is None:
            self._env = self.make()
        return self._env

    def renew(self) -> None:
        """Play the next episode in a fresh environment."""
        if self._env is not None:
            with contextlib.suppress(Exception):  # it has just shown that it is broken
                self._env.close()
            self._env = None

    def close(self) -> None:
        """Close the environment that episodes were played in."""
        if self._env is not None:
            self._env.close()
            self._env = None

    @cached_property
    def return_varies(self) -> bool:
        """Whether the environment declares that not every solved episode brings the same (`full_return = None`)."""
        return getattr(self.env.unwrapped, "full_return", 1.0) is None

    @cached_property
    def full_return(self) -> float | None:
        """The declared return of a solved episode; None where it varies or nothing is declared."""
        inner = self.env.unwrapped
        declared = getattr(inner, "full_return", None)
        return float(declared) if isinstance(declared, (int, float)) and not isinstance(declared, bool) else None

    @cached_property
    def takes_texts(self) -> bool:
        """Whether a text is an action here."""
        space = self.env.action_space
        return isinstance(space, (TextSpace, gymnasium.spaces.Text))

    @cached_property
    def opening(self) -> Play:
        """The first episode, before anything is played."""
        return self.play(self.starts[0], lambda episode: None) if self.starts else Play(Start(0, "", "", "", 0))

    @property
    def tools(self) -> Sequence[Any]:
        """Tools of the first task."""
        return self.opening.info.get("tools") or ()

    @property
    def instructions(self) -> str:
        """Instructions of the first task."""
        return str(self.opening.info.get("instructions") or "")

    @cached_property
    def max_actions(self) -> int:
        """Actions after which an episode is cut: more than the environment's own limit, if that is not too high."""
        limit = getattr(self.env.unwrapped, "max_turns", None)
        return limit + 1 if isinstance(limit, int) and MAX_ACTIONS <= limit <= MAX_LIMIT else MAX_ACTIONS

    @cached_property
    def panel_actions(self) -> int:
        """Actions after which an episode of an agent of the panel is cut, to save time."""
        return min(self.max_actions, self.effort.actions)

    # -- tasks ----------------------------------------------------------------------------------------------------

    @cached_property
    def splits(self) -> dict[str, int | None]:
        """Number of tasks by split, None for no end; empty for an environment without tasks."""
        tasks = getattr(self.env.unwrapped, "tasks", None)
        return {} if tasks is None else {split: tasks.size(split) for split in tasks.splits}

    @cached_property
    def split(self) -> str | None:
        """Split that is played; None for an environment without tasks."""
        sizes = self.splits
        if self.wanted_split is not None:
            if self.wanted_split not in sizes:
                raise unknown_name("split", self.wanted_split, sizes)
            return self.wanted_split
        filled = [split for split, size in sizes.items() if size != 0]
        default = getattr(self.env.unwrapped, "default_split", None)
        return next((split for split in ("test", default, *filled) if split in filled), None)

    def tasks(self, split: str, n: int | None = None) -> tuple[Task, ...]:
        """Return the first tasks of a split, as many as are played by default."""
        tasks: Any = self.env.unwrapped.tasks  # type: ignore[attr-defined]
        return tuple(tasks.split(split).first(self.n if n is None else n))

    @cached_property
    def starts(self) -> tuple[Start, ...]:
        """Where the episodes begin: the first tasks of the split, or seeds where there are none."""
        return () if self.splits and self.split is None else self.starts_of(self.split)

    def starts_of(self, split: str | None, n: int | None = None) -> tuple[Start, ...]:
        """Return where the episodes of the first tasks of a split begin, as many as are played by default.

        Args:
            split: The split; None for the first seeds of an environment without tasks.
            n: How many.
        """
        if split is None:
            seeds = range(self.n if n is None else n)
            return tuple(Start(i, f"seed-{i}", "", "", task_seed(self.seed, i)) for i in seeds)
        tasks = enumerate(self.tasks(split, n))
        return tuple(Start(i, task.key, task.split, task.type, task_seed(self.seed, i), task) for i, task in tasks)

    def rng(self, stream: str, start: Start) -> np.random.Generator:
        """Return the chance of something in one episode, unrelated to that of all else."""
        text = f"{self.seed}|{stream}|{start.key}|{start.index}"
        return np.random.default_rng(int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big"))

    @cached_property
    def asks_nothing(self) -> Mapping[str, float]:
        """Part of each task for which nothing has to be done, by key, as the environment's own metric says after a plan."""
        said = {plan.start.key: _measured(plan).get(NOTHING_TO_DO.name) for plan in self.solved}
        return {key: float(part) for key, part in said.items() if isinstance(part, (int, float)) and 0 < part <= 1}

    # -- what was played ------------------------------------------------------------------------------------------

    def play(
        self,
        start: Start,
        policy: Policy,
        *,
        stream: str = "",
        states: bool = False,
        worlds: bool = False,
        env: Env | None = None,
        most: int | None = None,
    ) -> Play:
        """Play one episode; if the environment raises, the next one is played in a fresh environment.

        Args:
            start: Where to begin.
            policy: Says what is played.
            stream: Names the chance of the policy; other names, other draws.
            states: Whether digests of the states are kept, and the worlds.
            worlds: Whether the worlds at the start and at the end are kept.
            env: Plays in this environment; by default in the subject's own.
            most: Actions after which the episode is cut; by default more than the environment's own limit.
        """
        rng = self.rng(stream, start)
        limit = self.max_actions if most is None else most
        played = play(env or self.env, start, policy, rng, max_actions=limit, states=states, worlds=worlds)
        if played.error and env is None:
            self.renew()
        return played

    @cached_property
    def plans(self) -> tuple[Play, ...]:
        """What the expert did in every task, with its states; episodes without a step where it knows nothing."""
        return tuple(self.play(start, expert_policy(), stream="expert", states=True) for start in self.starts)

    @cached_property
    def lessons(self) -> tuple[Play, ...]:
        """Plans of the expert that an agent may have seen: of "train", or of the split played where there is none."""
        if not any(plan.steps for plan in self.plans):
            return ()
        split = self.split if self.splits.get(TRAIN, 0) == 0 else TRAIN
        num = self.effort.lessons
        known = self.plans[:num] if split == self.split else ()
        others = self.starts_of(split, num)[len(known) :]
        plans = [*known, *(self.play(start, expert_policy(), stream="lessons", states=True) for start in others)]
        return tuple(plan for plan in plans if plan.success)

    @property
    def solved(self) -> tuple[Play, ...]:
        """Those plans that were a success."""
        return tuple(plan for plan in self.plans if plan.success)

    def plays(self, name: str, policy: Policy) -> list[Play]:
        """Return the episodes of an agent of the panel in every task; played once, and kept under its name."""
        most = self.panel_actions
        return self.kept(name, lambda: [self.play(start, policy, stream=name, most=most) for start in self.starts])

    def kept(self, name: str, make: Callable[[], list[Play]]) -> list[Play]:
        """Return the episodes that are kept under a name; they are played if there are none yet."""
        if name not in self._played:
            self._played[name] = make()
        return self._played[name]

    @property
    def played(self) -> Mapping[str, Sequence[Play]]:
        """All that policies have played so far, by their names."""
        return self._played


def _measured(plan: Play) -> Mapping[str, Any]:
    """Return the metrics that an episode ended with."""
    found = plan.steps[-1].info.get("metrics")
    return found if isinstance(found, Mapping) else {}


def expert_policy() -> Policy:
    """Return a policy that plays what the environment's own expert says."""

    def act(episode: Episode) -> Any:
        if "actions" not in episode.memory:
            expert = getattr(episode.env.unwrapped, "expert", None)
            episode.memory["actions"] = iter(expert()) if callable(expert) else iter(())
        return next(episode.memory["actions"], None)

    return act


__all__ = ["MAX_ACTIONS", "Subject", "expert_policy"]
