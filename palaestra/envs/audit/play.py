"""Plays one episode by one policy and keeps what happened."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

import numpy as np

from palaestra.envs.check.subject import Env, state_hash
from palaestra.envs.core.tasks import Task
from palaestra.envs.formats.hermes import format_message
from palaestra.types import Json, Message

Action = Any  # a text or a Message in our environments; whatever the action space of another holds
Policy = Callable[["Episode"], Action]
"""Says what is played next; None gives up."""

Ended = Literal["terminated", "truncated", "cut", "gave up", "error"]


@dataclass(frozen=True)
class Start:
    """Where an episode begins.

    Attributes:
        index: Its number among those of the audit.
        key: Key of the task; "seed-3" where there are no tasks.
        split: Split of the task, empty where there are none.
        type: Type of the task, empty where there are none.
        seed: Seed of the episode.
        task: The task itself, None where there are none. Its data are hidden from agents.
    """

    index: int
    key: str
    split: str
    type: str
    seed: int
    task: Task | None = None

    @property
    def options(self) -> dict[str, Any] | None:
        """What `reset` is given."""
        return None if self.task is None else {"task": self.key}


class Step(NamedTuple):
    """One action and what it brought."""

    action: Action
    observation: Any
    reward: float
    info: Mapping[str, Any]

    @property
    def said(self) -> Any:
        """What the info says of success; None if nothing."""
        return self.info.get("success", self.info.get("is_success"))


@dataclass
class Play:
    """One episode that was played.

    Attributes:
        start: Where it began.
        observation: The first observation.
        info: The info of `reset`.
        steps: What was played.
        ended: "terminated" or "truncated" by the environment; "cut" after as many actions as the audit plays; "gave up" by the
            policy; "error" if something raised.
        error: What it raised, as "TypeName: message"; empty if nothing.
        states: Digests of the state, at the start and after each step; empty where they were not asked for.
        worlds: The state of the world at the start and at the end, as plain data; None where it was not asked for or there
            is none.
    """

    start: Start
    observation: Any = ""
    info: Mapping[str, Any] = field(default_factory=dict)
    steps: list[Step] = field(default_factory=list)
    ended: Ended = "gave up"
    error: str = ""
    states: list[str | None] = field(default_factory=list)
    worlds: tuple[Json, Json] | None = None

    @property
    def actions(self) -> list[Action]:
        """What was played."""
        return [step.action for step in self.steps]

    @property
    def is_over(self) -> bool:
        """Whether the environment ended the episode."""
        return self.ended in ("terminated", "truncated")

    @property
    def success(self) -> bool | None:
        """Whether it was a success; None if the environment does not say so by yes or no, or raised."""
        if self.ended == "error":
            return None
        return yes_or_no(self.steps[-1].said) if self.steps else False

    @property
    def total(self) -> float:
        """Sum of the rewards; NaN if one of them is not a number."""
        return math.fsum(step.reward for step in self.steps) if all(math.isfinite(s.reward) for s in self.steps) else math.nan


@dataclass
class Episode:
    """What a policy sees: an episode in the middle of it.

    Attributes:
        start: Where the episode began.
        env: The environment; policies of the panel ask it for nothing but its action space.
        rng: Chance of this policy in this episode.
        play: What happened so far.
        memory: What the policy wants to remember.
    """

    start: Start
    env: Env
    rng: np.random.Generator
    play: Play
    memory: dict[str, Any] = field(default_factory=dict)

    @property
    def turn(self) -> int:
        """Number of actions played so far."""
        return len(self.play.steps)

    @property
    def observation(self) -> Any:
        """The latest observation."""
        return self.play.steps[-1].observation if self.play.steps else self.play.observation


def play(
    env: Env,
    start: Start,
    policy: Policy,
    rng: np.random.Generator,
    *,
    max_actions: int,
    states: bool = False,
    worlds: bool = False,
) -> Play:
    """Play one episode.

    Args:
        env: Plays in this environment.
        start: Where to begin.
        policy: Says what is played.
        rng: Chance of the policy.
        max_actions: Actions after which an episode that has not ended is cut.
        states: Whether digests of the states are kept, and the worlds.
        worlds: Whether the worlds at the start and at the end are kept.

    Returns:
        The episode; it ends with an error if the environment (its expert too) raises.
    """
    played = Play(start)
    try:
        observation, info = env.reset(seed=start.seed, options=start.options)
        _expect_mapping("reset", info)
        played.observation, played.info = observation, info
    except Exception as error:
        return _broken(played, error)
    before = world_of(env) if states or worlds else None
    if states:
        played.states.append(state_hash(env))
    episode = Episode(start, env, rng, played)
    while True:
        if len(played.steps) >= max_actions:
            played.ended = "cut"
            break
        try:
            action = policy(episode)  # the expert is the environment's own
            if action is None:
                break
            observation, reward, terminated, truncated, info = env.step(action)
            _expect_mapping("step", info)
            played.steps.append(Step(action, observation, float(reward), info))
        except Exception as error:
            return _broken(played, error)
        if states:
            played.states.append(state_hash(env))
        if terminated or truncated:
            played.ended = "terminated" if terminated else "truncated"
            break
    if states or worlds:
        played.worlds = (before, world_of(env))
    return played


def yes_or_no(said: Any) -> bool | None:
    """Return the success that an info names, as yes or no: true, false, 1 and 0, also of NumPy; None of all else."""
    if isinstance(said, (bool, np.bool_)):
        return bool(said)
    is_number = isinstance(said, (int, float, np.integer, np.floating))
    return bool(said) if is_number and said in (0, 1) else None


def _expect_mapping(name: str, info: object) -> None:
    """Check what an environment returns as info."""
    if not isinstance(info, Mapping):
        raise TypeError(f"{name}() returned an info of type {type(info).__name__}; expected a dict, {{}} if there is nothing.")


def replay(actions: list[Action], otherwise: Action = None) -> Policy:
    """Return a policy that plays a list of actions, then one and the same action until the end; None gives up."""
    return lambda episode: actions[episode.turn] if episode.turn < len(actions) else otherwise


def drawn(most: int, seed: Callable[[Episode], int] | None = None) -> Policy:
    """Return a policy that draws some well-formed actions, then gives up.

    Args:
        most: How many.
        seed: Says the seed of the action space in an episode; by default it is of the chance of the policy.
    """

    def act(episode: Episode) -> Action:
        if episode.turn >= most:
            return None
        if not episode.turn:
            episode.env.action_space.seed(int(episode.rng.integers(2**31)) if seed is None else seed(episode))
        return episode.env.action_space.sample()

    return act


def world_of(env: Env) -> Json:
    """Return the state of the world as plain data; None where there is none."""
    try:
        return state_of(env)
    except Exception:  # another check says what is wrong with snapshots
        return None


def state_of(env: Env) -> Json:
    """Return the state of the world of an environment that has snapshots, as plain data."""
    inner: Any = env.unwrapped
    state = json.loads(inner.snapshot())
    return state.get("world", state) if isinstance(state, dict) else state


def _broken(played: Play, error: Exception) -> Play:
    """Return an episode in which the environment raised."""
    played.ended, played.error = "error", f"{type(error).__name__}: {error}"
    return played


def as_text(action: Action) -> str:
    """Return an action as the text that it stands for."""
    return format_message(action) if isinstance(action, Message) else str(action)


__all__ = [
    "Action",
    "Ended",
    "Episode",
    "Play",
    "Policy",
    "Start",
    "Step",
    "as_text",
    "drawn",
    "play",
    "replay",
    "state_of",
    "world_of",
    "yes_or_no",
]
