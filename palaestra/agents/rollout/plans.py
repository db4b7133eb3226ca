"""What is to be played: one `EpisodePlan` per episode, plain data that travels to workers and names the episode."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from palaestra.errors import UsageError
from palaestra.types import Json

MAX_SEED = 2**63 - 1
"""Largest seed of a run: what torch, JSON readers and servers of models take."""

MAX_CONCURRENCY = 100_000
"""Episodes that may be in play at once; each is a task in memory."""

MAX_WORKERS = 4096
"""Environments that may run in workers at once; each is a process or a thread."""


@dataclass(frozen=True, slots=True)
class EpisodePlan:
    """One episode that is to be played.

    Attributes:
        episode_id: Unique within the run, and the same whenever this episode is planned again.
        env_id: Registered id of the environment.
        env_kwargs: Arguments of `gymnasium.make`; plain JSON data.
        task_key: Task to play, by its key or a published id (`MAPPING#N`); None lets the environment draw one of its default
            split.
        seed: Seed given to `reset`; None continues the environment's own stream.
        sample: Index of this episode within its group.
        group_id: Episodes of one task and seed that are compared with each other; empty if alone.
        max_turns: Horizon of this episode, in messages of the agent; None leaves it to the environment. Fixed from the
            moment the plan is made (specs/algorithms, section 6).
        session: Name of the episode for agents, whose chance follows from it (actions drawn, samples, seeds of requests);
            empty takes `episode_id`. An evaluation puts its seed into it.
        wrappers: Arguments of wrappers of `palaestra.envs` by name, the innermost first; plain JSON data.
    """

    episode_id: str
    env_id: str
    env_kwargs: Mapping[str, Json] = field(default_factory=dict)
    task_key: str | None = None
    seed: int | None = None
    sample: int = 0
    group_id: str = ""
    max_turns: int | None = None
    session: str = ""
    wrappers: Mapping[str, Mapping[str, Json]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse a horizon that allows no turn."""
        if self.max_turns is not None and self.max_turns < 1:
            raise UsageError(f"max_turns of episode {self.episode_id!r} is {self.max_turns}; expected at least 1, or None.")
