"""Extensions: features of a training run that concern no single algorithm, as the tables of a recipe.

`[noise]`, `[horizon]`, `[asynchronous]` and `[sampler]` are extensions. A recipe names an extension by its table: `[noise]`
holds for every phase, `[grpo.noise]` for one of them, where it replaces the recipe's table, and `noise = false` in a phase
leaves it out there.

An extension is a class with a name, a config and the hooks that it needs; the other hooks do nothing:

    class Clipped(Extension):
        name = "clip_returns"
        config_type = ClipConfig

        def observed(self, trajectories):
            return [clipped(trajectory, self.config.limit) for trajectory in trajectories]

It is created at the start of a phase, with the table that holds there, and once more for the evaluations of the run, which
go by the recipe's own tables (`context.evaluates` says which of the two it is). A training step calls the hooks in this order:

    max_turns, plans              what is to be played
    ready, backend, agent, wrap   who plays, in which environments
    played                        what came back, in training and in evaluation
    observed                      the rewards that training sees
    (the update of the algorithm)
    after_step                    once the policy has been updated
    state                         with every checkpoint; `load` when a run resumes

Where several extensions are active, each hook is called in the order of the registry (`extension_registry.BUILTIN`, then
installed packages by name), whatever the order of the tables: who samples, what is played, what is seen of it.

| an extension that | uses |
|---|---|
| has another process sample | `start`, `ready`, `backend`, `played` |
| puts other agents around the policy, or into other seats | `agent`, and `played` to return each seat's own trajectory |
| plays the environments with other arguments | `env_arguments` |
| trains weights of its own in turns | `own_weights`; what experts show for them: `demonstrated` |
| chooses tasks, or sets horizons | `plans`, `max_turns`; `observed` to see what came of them; `state` |
| disturbs environments | `wrapper` |
| changes rewards | `observed` |
| acts on the weights after each update | `after_step`, with `context.policy` (raise its `version`) |
| has other weights evaluated and kept than those that are trained | `result_weights` |
| collects episodes in another way | `collection` |

`settings`, `refuse` and `check` are asked while a recipe is read: other defaults, contradictions, what is missing here.

A package adds an extension through its metadata:

    [project.entry-points."palaestra.extensions"]
    clip_returns = "my_package.clip:Clipped"
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

import gymnasium
from pydantic import BaseModel

from palaestra.agents.core import Agent, Backend
from palaestra.agents.rollout.plans import EpisodePlan
from palaestra.types import Json, Trajectory

if TYPE_CHECKING:
    from torch import Tensor

    from palaestra.agents.rollout.engine import RolloutEngine
    from palaestra.agents.store.store import RunStore
    from palaestra.algorithms.learner.policy import Policy
    from palaestra.algorithms.run.recipe_configs import PhaseConfig, Recipe

RunCoroutine = Callable[[Coroutine[Any, Any, None]], None]
WrapEnv = Callable[[gymnasium.Env[Any, Any]], gymnasium.Env[Any, Any]]


@dataclass(frozen=True)
class ExtensionContext:
    """What an extension may use.

    Attributes:
        phase: Name of the phase; empty for the evaluations of the run.
        recipe: The whole recipe.
        policy: What is trained, in place.
        engine: Plays episodes.
        store: The run store, where there is one.
        start: Model folder with the weights that the phase began with, where known.
        shared: What the extensions of one run have in common, e.g. a connection; by a key of their own choice.
    """

    phase: str
    recipe: Recipe
    policy: Policy
    engine: RolloutEngine
    store: RunStore | None = None
    start: Path | None = None
    shared: dict[str, Any] = field(default_factory=dict)

    @property
    def evaluates(self) -> bool:
        """Whether the episodes are those of evaluations, not of a training phase."""
        return not self.phase


class Collection(Protocol):
    """How the shared outer loop gets the episodes of a step; see `Extension.collection`."""

    def collect(self, step: int) -> list[Trajectory]:
        """Return the episodes that a training step learns from."""
        ...

    def update(self, update: Callable[[], dict[str, float]]) -> dict[str, float]:
        """Run the update of a step, alone or while episodes are played; return its metrics."""
        ...

    def metrics(self, trajectories: Sequence[Trajectory]) -> dict[str, float]:
        """Return metrics of the episodes of a step, before the update."""
        ...

    def state(self) -> Any:
        """Return the state that a resumed run needs; None if nothing is kept from step to step."""
        ...

    def load(self, state: Any) -> None:
        """Continue from `state()`."""
        ...

    def close(self) -> None:
        """Give up what is in play."""
        ...


class Extension:
    """A feature of a training run. Subclasses set `name` and `config_type`, and override the hooks that they need.

    Attributes:
        name: Name of its table.
        config_type: What its table is checked against.
        movable: Keys of its table that may differ when a run resumes (where a server is, not what is trained).
        copies: Copies of the whole model in float32 that it holds while a phase trains; for `train --dry-run`.
        metrics: Names of what it logs (`after_step`, or a `collection` of its own); None where it does not say.
        shows: Whether its table means something to a phase that imitates and does not play (see `demonstrated`).
        config: Its table.
        context: Where it is used.
    """

    name: ClassVar[str]
    config_type: ClassVar[type[BaseModel]]
    movable: ClassVar[frozenset[str]] = frozenset()
    copies: ClassVar[int] = 0
    shows: ClassVar[bool] = False
    metrics: ClassVar[frozenset[str] | None] = None

    def __init__(self, config: Any, context: ExtensionContext) -> None:
        """Keep table and context; nothing is played yet."""
        self.config = config
        self.context = context

    # -- while a recipe is read -----------------------------------------------------------------------------------

    @classmethod
    def settings(cls, config: Any, fields: Mapping[str, Any], given: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return the settings of an algorithm with other defaults, where the extension asks for some.

        Args:
            config: Its table.
            fields: The settings that the algorithm knows, by name.
            given: The settings as the recipe gives them.
        """
        return given

    @classmethod
    def refuse(cls, config: Any, phase: PhaseConfig, recipe: Recipe) -> None:
        """Raise a `ConfigError` if the table contradicts the settings of a phase in which it is active."""

    @classmethod
    def check(cls, config: Any, recipe: Recipe) -> None:
        """Raise a `ConfigError` if something is missing on this machine; called before a run is created."""

    @classmethod
    def own_weights(cls, config: Any) -> tuple[str, ...]:
        """Return the names of weights that a phase with this table trains apart from the others; empty trains the shared ones.

        A phase begins with the newest weights of the first name, and of the shared ones where there are none yet.
        """
        return ()

    @classmethod
    def demonstrated(cls, config: Any, plans: list[EpisodePlan]) -> list[EpisodePlan]:
        """Return the episodes that experts play to be imitated, and for the corpus of a tokenizer.

        Args:
            config: Its table.
            plans: As the task feed gives them, or the extensions before this one.
        """
        return plans

    # -- who plays what -------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Find out what cannot work before anything is trained; called on every rank, of the recipe's tables only."""

    def max_turns(self, step: int) -> int | None:
        """Return the horizon of a training step; None leaves it to the others, and at last to the environment."""
        return None

    def env_arguments(self) -> Mapping[str, Json]:
        """Return arguments with which the environments are made in addition, in training and in evaluation."""
        return {}

    def plans(self, plans: list[EpisodePlan], step: int) -> list[EpisodePlan]:
        """Return the episodes to play in a training step, group by group.

        Has to be a pure function of its arguments and of the saved state: a resumed run asks again.

        Args:
            plans: As the task feed gives them, or the extensions before this one.
            step: Training step, from 1.
        """
        return plans

    def ready(self, run: RunCoroutine = asyncio.run) -> None:
        """Bring who samples up to date; called on every rank before training episodes are played.

        In evaluations it is called on the first rank alone.

        Args:
            run: Runs a coroutine to its end: in the event loop in which episodes may be in play, or in a new one.
        """

    def backend(self) -> Backend | None:
        """Return the backend that the policy's agent samples from; None samples in this process."""
        return None

    def agent(self, agent: Agent) -> Agent:
        """Return the agent that plays, e.g. with other agents around it."""
        return agent

    def wrapper(self) -> WrapEnv | None:
        """Return a function that wraps each training environment; it has to be picklable for worker processes."""
        return None

    # -- what came of it ------------------------------------------------------------------------------------------

    def played(self, trajectories: list[Trajectory]) -> list[Trajectory]:
        """Return the episodes as the policy lived through them, in training and in evaluation."""
        return trajectories

    def observed(self, trajectories: list[Trajectory]) -> list[Trajectory]:
        """Return the episodes with the rewards that training sees; evaluation never calls it."""
        return trajectories

    def after_step(self, step: int, metrics: Mapping[str, float]) -> Mapping[str, float]:
        """Act after the update of a step, before the learning curve is evaluated; return further metrics.

        Args:
            step: The training step that is over; every rank calls it.
            metrics: Of this step.
        """
        return {}

    def result_weights(self) -> Mapping[str, Tensor] | None:
        """Return weights, by name, that the learning curve and the result of the phase take in place of the trained ones.

        Training continues with the trained ones; None leaves everything to them.
        """
        return None

    def collection(self, phase: Any, settings: Any, learner: Any) -> Collection | None:
        """Return another way to collect episodes for the shared outer loop (`on_policy`); None keeps to its own.

        Args:
            phase: The `Phase`.
            settings: Settings of its algorithm, a `PolicyConfig`.
            learner: The `Learner`.
        """
        return None

    # -- state ----------------------------------------------------------------------------------------------------

    def state(self) -> dict[str, Any]:
        """Return plain data and tensors that a resumed run needs, the same on every rank."""
        return {}

    def load(self, state: Mapping[str, Any]) -> None:
        """Continue from `state()`."""


__all__ = ["Collection", "Extension", "ExtensionContext", "RunCoroutine", "WrapEnv"]
