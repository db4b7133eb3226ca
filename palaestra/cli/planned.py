"""The runs that `palaestra evaluate` plays: stored ones to resume, or new ones, and the agents that play them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from palaestra.agents.masking import check_unmasked, masked
from palaestra.agents.ranges import shortened
from palaestra.cli.options import new_run_ids
from palaestra.cli.seats import SECRET_OPTIONS, ChosenSeats, SeatModel, check_seats, make_seat_agents, stored_options
from palaestra.cli.until_decided import settings_of, stored_until
from palaestra.errors import ConfigError, UsageError
from palaestra.types import Json

if TYPE_CHECKING:
    from palaestra.agents.core import Agent
    from palaestra.agents.evaluation.deciding import UntilDecided
    from palaestra.agents.store.store import RunStore

MAX_DIGITS = 30


@dataclass(frozen=True)
class PlannedRun:
    """One agent to evaluate and what to play, as the run store keeps it.

    Attributes:
        run_id: Name of its run.
        model: Agent name or model string.
        options: Arguments of `make_agent` that change how the agent plays.
        settings: Arguments of `evaluate`: `env_id`, `env_kwargs`, `split`, `n`, `samples`, `seed`, `max_turns`.
        seats: Agents of the environment's other seats.
        until: What is to be decided; None plays the whole plan.
    """

    run_id: str
    model: str
    options: Mapping[str, Json]
    settings: Mapping[str, Any]
    seats: Mapping[str, SeatModel] = field(default_factory=dict)
    until: UntilDecided | None = None

    def stored_options(self) -> dict[str, Json]:
        """Return the options without secrets."""
        return stored_options(self.options)

    def stored_seats(self) -> dict[str, Json]:
        """Return who sits in the other seats, as the run's configuration keeps it; empty if nobody does."""
        return {"seat_models": {name: one.to_json() for name, one in self.seats.items()}} if self.seats else {}


def planned_runs(
    store: RunStore,
    run_ids: Sequence[str],
    models: Sequence[str],
    options: Mapping[str, Json],
    given: Mapping[str, Any],
    each: Sequence[Mapping[str, Json]],
    seats: ChosenSeats,
    until: UntilDecided | None,
) -> list[PlannedRun]:
    """Return the runs to play: stored ones to resume, or new ones, each model with each combination of values."""
    from palaestra.agents.registry import takes_options

    stored = {run.run_id for run in store.runs()}
    if run_ids and not models:
        if each[0]:
            raise UsageError(f"--each {next(iter(each[0]))}=... starts new runs; leave it out to resume with --run.")
        return [_stored_run(store, run_id, stored, options, given, seats.models, until) for run_id in run_ids]
    if not models:
        raise UsageError("There is no agent to evaluate; name one with --model, e.g. --model random or --model openai:NAME.")
    given = {**settings_of(store, until), **given}
    if "env_id" not in given:
        raise UsageError("There is no environment to play; name one with --env, e.g. --env palaestra/TextCraft-v0.")
    if run_ids and len(run_ids) != len(models) * len(each):
        arms = f"{len(models)} --model" if len(each) == 1 else f"{len(models)} --model with {len(each)} --each values"
        per = "model" if len(each) == 1 else "model and value"
        raise UsageError(f"There are {arms} and {len(run_ids)} --run; give one --run per {per}, or none.")
    if options and not any(takes_options(model) for model in models):
        raise ConfigError(f"{', '.join(models)} take no options; leave out {', '.join(sorted(options))}.")
    settings = {"env_kwargs": {}, "split": "test", "n": 100, "samples": 1, "seed": 0, "max_turns": None, **given}
    settings["n"] = _number(settings["n"])
    if until is not None:
        for name, value in settings["env_kwargs"].items():
            check_unmasked(f"The argument {name} of run {until.against!r}", value)
    if twice := sorted(settings["env_kwargs"].keys() & each[0].keys()):
        raise ConfigError(f"{twice[0]} is given by --set and by --each; leave one of them out.")
    played = [(model, values) for model in models for values in each]
    ids = list(run_ids) or new_run_ids(["-".join([_last_part(model), *map(str, values.values())]) for model, values in played])
    return [
        PlannedRun(
            run_id,
            model,
            options if takes_options(model) else {},
            {**settings, "env_kwargs": {**settings["env_kwargs"], **values}},
            seats.models,
            until,
        )
        for run_id, (model, values) in zip(ids, played, strict=True)
    ]


def _stored_run(
    store: RunStore,
    run_id: str,
    stored: set[str],
    options: Mapping[str, Json],
    given: Mapping[str, Any],
    seats: Mapping[str, SeatModel],
    until: UntilDecided | None,
) -> PlannedRun:
    """Return the arm that a stored run was created for; a new wish contradicts it."""
    if run_id not in stored:
        store.run(run_id)  # raises with the nearest name
    config = store.config(run_id)
    if config.get("kind") != "evaluate" or "model" not in config:
        ways = "a training run with: palaestra train --run; scores with: palaestra runs rescore RUN --into"
        raise UsageError(f"Run {run_id!r} was not made by 'palaestra evaluate'. Resume {ways}.")
    env = config["envs"][0]
    kept = {"env_id": env["env_id"], "env_kwargs": env["env_kwargs"]}
    kept |= {key: config[key] for key in ("split", "n", "samples", "seed", "max_turns")}
    wishes = {**given, **({"n": _number(given["n"])} if "n" in given else {})}
    for name, old, new in [(k, kept[k], v) for k, v in wishes.items()] + [
        (k, config["model_options"].get(k), v) for k, v in options.items()
    ]:
        shown = masked({name: new})[name]
        if old != shown and name not in SECRET_OPTIONS:
            raise ConfigError(
                f"Run {run_id!r} was created with {name}={old!r}, now {name}={shown!r}; leave it out, or start a new run."
            )
    told = stored_until(run_id, config, until)
    known = {name: SeatModel.from_json(one) for name, one in config.get("seat_models", {}).items()}
    for name, one in seats.items():
        if name not in known or known[name].to_json() != one.to_json():
            was, now = known[name].model if name in known else "nobody", masked(one.model)
            raise ConfigError(
                f"Run {run_id!r} was created with {was} in the seat {name!r}, now {now}; leave it out, or start a new run."
            )
    chosen = PlannedRun(run_id, config["model"], {**config["model_options"], **options}, kept, {**known, **seats}, told)
    _check_secrets(chosen)
    return chosen


def _check_secrets(run: PlannedRun) -> None:
    """Refuse to resume a run whose secrets were not given again."""
    agents = {"--model": SeatModel(run.model, run.options)} | {f"--seat {name}": one for name, one in run.seats.items()}
    for option, one in agents.items():
        check_unmasked(f"{option} of run {run.run_id!r}", one.model)
        for name, value in one.options.items():
            check_unmasked(f"The option {name} of {option} of run {run.run_id!r}", value)
    for name, value in run.settings["env_kwargs"].items():
        check_unmasked(f"The argument {name} of run {run.run_id!r}", value)


def _last_part(model: str) -> str:
    """Return the part of a model string that says most."""
    return model.rpartition("/")[2] or model


class AgentsOfRuns:
    """The agents of the runs, each built when its run is played, but one of each model before anything is stored.

    A model that plays several runs is never held twice: its weights may be large.

    Args:
        planned: The runs.
        service: How models are reached: retries, time-outs, prices, budget.
    """

    def __init__(self, planned: Sequence[PlannedRun], service: Mapping[str, Any]) -> None:
        """Build the first agent of each model."""
        self._planned, self._service = planned, service
        self._built: dict[int, Agent] = {}
        seen: list[tuple[str, Mapping[str, Json]]] = []
        for index, run in enumerate(planned):
            if (run.model, run.options) not in seen:
                seen.append((run.model, run.options))
                self._built[index] = _make_agent(run, service)

    def take(self, index: int) -> Agent:
        """Return the agent of a run; it is not kept here any longer."""
        return self._built.pop(index, None) or _make_agent(self._planned[index], self._service)


def distinct_settings(planned: Sequence[PlannedRun]) -> list[Mapping[str, Any]]:
    """Return the settings of the runs, each once."""
    found: list[Mapping[str, Any]] = []
    for run in planned:
        if run.settings not in found:
            found.append(run.settings)
    return found


def _make_agent(run: PlannedRun, service: Mapping[str, Any]) -> Agent:
    """Build the agent of a run, with those of the other seats."""
    from palaestra.agents.seats import Seats

    if run.model == "human":
        raise UsageError("A person plays with: palaestra play ENV_ID.")
    agents = make_seat_agents({"": SeatModel(run.model, run.options), **run.seats}, service)
    policy = agents.pop("")
    return Seats(policy, **agents) if agents else policy


def check_env_of(settings: Mapping[str, Any], seats: Mapping[str, SeatModel]) -> None:
    """Refuse an unknown environment, argument, seat or split before anything is stored."""
    from palaestra.cli.environments import open_env

    env = open_env(settings["env_id"], settings["env_kwargs"])
    try:
        if hasattr(env.unwrapped, "tasks"):
            env.unwrapped.tasks.split(settings["split"])
        check_seats(env, settings["env_id"], seats)
    finally:
        env.close()


def _number(n: str | int | None) -> int | None:
    """Read -n: a number, or all."""
    if n is None or n == "all":
        return None
    if not str(n).isdecimal() or len(str(n)) > MAX_DIGITS or int(n) < 1:
        raise ConfigError(f"-n is {shortened(n)}; expected a number of tasks of at least 1, or all.")
    return int(n)


__all__ = ["AgentsOfRuns", "PlannedRun", "check_env_of", "distinct_settings", "planned_runs"]
