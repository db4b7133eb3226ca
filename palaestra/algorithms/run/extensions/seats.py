"""`[seats]`: agents in the other seats of the environments, and which seats the policy learns from.

    [seats]
    train = ["asker", "answerer"]       # both learn, with the same weights

    [seats.judge]
    model = "openai:NAME"               # a judge from outside

Weights of their own are trained in turns, each phase with `seat = NAME`; the other seat is then played by a frozen copy:

    [[phase]]                           [[phase]]
    algorithm = "grpo"                  algorithm = "grpo"
    name = "asker"                      name = "answerer"
    seats.seat = "asker"                seats.seat = "answerer"
    seats.answerer.model = "frozen"     seats.asker.model = "frozen"
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer, model_validator

from palaestra.agents.core import Agent
from palaestra.agents.masking import MASK
from palaestra.agents.registry import make_agent
from palaestra.agents.rollout.plans import EpisodePlan
from palaestra.agents.seats import Seats
from palaestra.algorithms.config import Config, nearest
from palaestra.algorithms.run.extension import Extension, ExtensionContext
from palaestra.algorithms.run.feed import make_env
from palaestra.algorithms.run.player import policy_agent
from palaestra.algorithms.run.recipe_configs import PhaseConfig, Recipe
from palaestra.algorithms.run.weights import KEY, Weights
from palaestra.errors import ConfigError, UsageError
from palaestra.types import Json, Outcome, Trajectory

_MAX_COPIES = 4

POLICY, FROZEN, SCRIPTED, PERSONA = "policy", "frozen", "scripted", "persona:"


class SeatPlayer(Config):
    """`[seats.NAME]`: who plays another seat."""

    model: str = POLICY
    """"policy" (the agent of the policy's seat, with the same weights), "frozen" (a copy of that seat's newest weights, which
    is not trained), "scripted" or "persona:NAME" (the environment's own player), or an agent as for `--model`."""
    options: dict[str, Any] = Field(default_factory=dict)
    """Arguments of an agent from outside, e.g. `temperature` and `base_url`."""

    @model_validator(mode="after")
    def _takes_options(self) -> SeatPlayer:
        if self.options and self.is_ours:
            raise ConfigError(f"model {self.model!r} takes no options; they are for agents from outside.")
        return self

    @property
    def is_ours(self) -> bool:
        """Whether nobody from outside plays the seat."""
        return self.model in (POLICY, FROZEN) or self.is_scripted

    @property
    def is_scripted(self) -> bool:
        """Whether the environment plays the seat itself."""
        return self.model == SCRIPTED or self.model.startswith(PERSONA)


class SeatsConfig(Config):
    """`[seats]`: who plays the seats of the environments, and which of them are learned from."""

    train: tuple[str, ...] = ()
    """Seats whose episodes are learned from, all with the policy's weights; by default the policy's seat alone."""
    seat: str = ""
    """The policy's seat, with weights of its own; by default the first seat of the environment, with the shared weights."""
    agents: dict[str, SeatPlayer] = Field(default_factory=dict)
    """Who plays the other seats, written as `[seats.NAME]`; trained seats are the policy's, those not named are scripted."""

    @model_validator(mode="before")
    @classmethod
    def _seats_are_tables(cls, data: Any) -> Any:
        if not isinstance(data, dict):
            return data
        tables = {key: value for key, value in data.items() if key not in cls.model_fields and isinstance(value, Mapping)}
        rest = {key: value for key, value in data.items() if key not in tables}
        return {**rest, "agents": {**rest.get("agents", {}), **tables}} if tables else rest

    @model_validator(mode="after")
    def _seats_have_one_player(self) -> SeatsConfig:
        for seat in self.train:
            if seat in self.agents and self.agents[seat].model != POLICY:
                raise ConfigError(
                    f"the seat {seat!r} is trained, so the policy plays it; take out its model, or train others."
                )
        if self.seat and self.seat in self.agents:
            raise ConfigError(f"the seat {self.seat!r} is the policy's; take out its table.")
        if self.seat and self.train and self.seat not in self.train:
            raise ConfigError(
                f"train is {list(self.train)}, without the policy's seat {self.seat!r}; add it, or take train out."
            )
        return self

    @model_serializer(mode="wrap")
    def _without_what_nobody_gave(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        written: dict[str, Any] = write(self)
        return written if self.train else {key: value for key, value in written.items() if key != "train"}

    @property
    def trained(self) -> tuple[str, ...]:
        """The seats that are learned from; "" is the first seat of the environment."""
        return self.train or (self.seat,)

    @property
    def players(self) -> dict[str, str]:
        """Personas of scripted players, by seat."""
        chosen = {seat: one.model for seat, one in self.agents.items() if one.model.startswith(PERSONA)}
        return {seat: model.removeprefix(PERSONA) for seat, model in chosen.items()}

    @property
    def named(self) -> list[str]:
        """Every seat that the table names."""
        return [name for name in dict.fromkeys((self.seat, *self.train, *self.agents)) if name]


class SeatsInTraining(Extension):
    """Puts agents into the other seats, and gives training the episodes of those that are learned from."""

    name: ClassVar[str] = "seats"
    config_type = SeatsConfig
    shows = True
    config: SeatsConfig

    def __init__(self, config: SeatsConfig, context: ExtensionContext) -> None:
        """Look at the environment's seats once."""
        super().__init__(config, context)
        self._own = config.seat or _seats_of(context.recipe)[0]
        players = {seat: SeatPlayer() for seat in config.train} | config.agents
        self._outside = {seat: one for seat, one in players.items() if seat != self._own and not one.is_scripted}
        self._agents: dict[str, Agent] = {}

    @classmethod
    def refuse(cls, config: SeatsConfig, phase: PhaseConfig, recipe: Recipe) -> None:
        """Refuse to refill batches in which several seats are trained: a group of one seat has no place in the other's."""
        refills = getattr(getattr(phase.settings, "sampling", None), "drop_equal_groups", False)
        if len(config.train) > 1 and refills:
            raise ConfigError(
                f"{phase.name} trains the seats {', '.join(config.train)} and drops equal groups; set "
                f"{phase.name}.sampling.drop_equal_groups = false, or train one seat."
            )

    @classmethod
    def check(cls, config: SeatsConfig, recipe: Recipe) -> None:
        """Look whether every environment has the seats."""
        seats = _seats_of(recipe)
        for name in config.named:
            if name not in seats:
                raise ConfigError(
                    f"[seats] names {name!r}; the environment has the seats {', '.join(seats)}.{nearest(name, seats)}"
                )
        if not config.seat and seats[0] in config.agents:
            raise ConfigError(f"The seat {seats[0]!r} is the policy's; take out [seats.{seats[0]}].")
        if config.train and not config.seat and seats[0] not in config.train:
            raise ConfigError(
                f"seats.train is {list(config.train)}, without the policy's seat {seats[0]!r}; add it, or give the policy "
                f"another one with seats.seat = {config.train[0]!r}."
            )
        for env in recipe.envs if config.players else ():
            make_env(env.id, {**env.arguments, **_arguments(config, config.seat)}).close()  # which knows its personas
        for seat, one in config.agents.items():
            if not one.is_ours and not one.model.startswith("hf:"):  # weights are loaded once, when they are first needed
                _made(seat, one, without=("cache",))

    @classmethod
    def own_weights(cls, config: SeatsConfig) -> tuple[str, ...]:
        """Return the trained seats where the policy's seat is named."""
        return config.trained if config.seat else ()

    @classmethod
    def demonstrated(cls, config: SeatsConfig, plans: list[EpisodePlan]) -> list[EpisodePlan]:
        """Let the experts of all trained seats show how, each in the environment of its seat."""
        several = len(config.trained) > 1
        return [
            replace(
                plan,
                episode_id=f"{plan.episode_id}#{seat}" if several else plan.episode_id,
                env_kwargs={**plan.env_kwargs, **_arguments(config, seat)},
            )
            for seat in config.trained
            for plan in plans
        ]

    def env_arguments(self) -> Mapping[str, Json]:
        """Return the policy's seat and the personas of scripted players."""
        players = {
            seat: one.model.removeprefix(PERSONA) for seat, one in self.config.agents.items() if one.model.startswith(PERSONA)
        }
        seat = {"seat": self.config.seat} if self.config.seat else {}
        return {**seat, "players": players} if players else seat

    def agent(self, agent: Agent) -> Agent:
        """Return the agent with those of the other seats; "policy" is the agent itself, in a seat of its own."""
        others = {seat: agent if one.model == POLICY else self._player(seat, one) for seat, one in self._outside.items()}
        return Seats(agent, **others) if others else agent

    def played(self, trajectories: list[Trajectory]) -> list[Trajectory]:
        """Return the episodes of the seats that are learned from, seat by seat; in evaluation those of the policy's seat.

        A seat that never acted has nothing to learn from. For a trained seat that was refused three times in a row the game
        is not an error, as it is none for the policy's seat: it was cut off there, and that is to be learned.
        """
        if self.context.evaluates:
            return [trajectory.of_seat() for trajectory in trajectories]
        own: list[Trajectory] = []
        for seat in self.config.trained:
            is_policys = seat in ("", self._own)
            for trajectory in trajectories:
                if is_policys:
                    own.append(trajectory.of_seat())
                elif seat in trajectory.seats and (episode := trajectory.of_seat(seat)).steps:
                    own.append(_cut_off(episode) if _was_refused(trajectory, seat) else episode)
        return own

    def _player(self, seat: str, one: SeatPlayer) -> Agent:
        """Return the agent of a seat, made when it is first needed."""
        if one.model == FROZEN:
            return self._frozen(seat)
        if seat not in self._agents:
            self._agents[seat] = _made(seat, one, seed=self.context.recipe.seed)
        return self._agents[seat]

    def _frozen(self, seat: str) -> Agent:
        """Return an agent that plays with a copy of the seat's newest weights."""
        context = self.context
        weights: Weights | None = context.shared.get(KEY)
        path = context.start if weights is None else weights.of(seat)
        name = "frozen:start" if path is None else f"frozen:{_label(path)}"
        copies = context.shared.setdefault("frozen policies", {})
        if name not in copies:
            while len(copies) >= _MAX_COPIES:  # of weights that no seat plays with any more
                del copies[next(iter(copies))]
            copies[name] = context.policy.frozen_copy(path)
        backend = copies[name].sampler(max_batch=context.recipe.agent.concurrency, name=name)
        return policy_agent(copies[name], context.recipe, backend=backend, name=name)


def _made(seat: str, one: SeatPlayer, *, seed: int = 0, without: Collection[str] = ()) -> Agent:
    """Return an agent from outside; what a random one draws follows from the seed of the recipe.

    Raises:
        ConfigError: If its model or its options mean nothing, with the key of the recipe.
    """
    # a key is not stored; the resumed run takes it from the environment
    options = {key: value for key, value in one.options.items() if key != "api_key" or value != MASK}
    if one.model == "random":
        options.setdefault("seed", seed)
    try:
        return make_agent(one.model, **{key: value for key, value in options.items() if key not in without})
    except UsageError as error:
        raise ConfigError(f"seats.{seat} is not an agent: {error}") from error


def _was_refused(trajectory: Trajectory, seat: str) -> bool:
    """Whether the game ended because nobody could read what a seat said."""
    error = trajectory.outcome.error
    return error is not None and error.type == "SeatFault" and trajectory.meta.get("unfinished_seat") == seat


def _cut_off(episode: Trajectory) -> Trajectory:
    """Return the episode of a seat with the score it had when it was cut off."""
    last = replace(episode.steps[-1], truncated=True)
    outcome = Outcome(float(last.info.get("score", episode.return_)), False, "invalid_limit")
    return replace(episode, steps=(*episode.steps[:-1], last), outcome=outcome)


def _arguments(config: SeatsConfig, seat: str) -> dict[str, Json]:
    """Return the arguments of an environment that is played from a seat."""
    return {**({"seat": seat} if seat else {}), **({"players": config.players} if config.players else {})}


def _label(path: Path) -> str:
    """Return what tells weights of a run apart, wherever the run lies: phase and step."""
    return "/".join(path.parts[-3:-1])


def _seats_of(recipe: Recipe) -> tuple[str, ...]:
    """Return the seats that the environments of a recipe have, the policy's first.

    Raises:
        ConfigError: If one of them has no seats, or they have different ones.
    """
    found: list[tuple[str, ...]] = []
    for config in recipe.envs:
        env = make_env(config.id, config.arguments)
        try:
            inner: Any = env.unwrapped
            own, names = getattr(inner, "seat", ""), getattr(inner, "seats", ())
        finally:
            env.close()
        if not isinstance(names, tuple) or own not in names:
            raise ConfigError(f"The recipe has a table [seats], and {config.id!r} has one seat; take the table out.")
        found.append((own, *(name for name in names if name != own)))
    if len(set(found)) > 1:
        raise ConfigError(f"The environments of the recipe have different seats, {found}; [seats] is for those with the same.")
    return found[0]


__all__ = ["SeatPlayer", "SeatsConfig", "SeatsInTraining"]
