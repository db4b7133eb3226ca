"""`palaestra evaluate`: play an agent on the tasks of a split; resumable, with a report."""

from __future__ import annotations

import contextlib
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, Annotated, Any

import typer

from palaestra.agents.masking import check_unmasked, masked, remember_secrets
from palaestra.agents.ranges import shortened
from palaestra.cli.options import (
    DEFAULT_RUNS,
    AsJson,
    EachSetting,
    RunsFolder,
    Settings,
    new_run_ids,
    parse_each,
    parse_settings,
)
from palaestra.cli.seats import (
    SECRET_OPTIONS,
    ChosenSeats,
    SeatChoices,
    SeatModel,
    SeatSettings,
    check_seats,
    make_seat_agents,
    masked_word,
    parse_seats,
    stored_options,
)
from palaestra.cli.until_decided import (
    Against,
    Difference,
    Power,
    UntilFlag,
    print_decisions,
    settings_of,
    stored_until,
    until_of,
)
from palaestra.errors import ConfigError, StoreError, UsageError
from palaestra.types import Json

if TYPE_CHECKING:
    from palaestra.agents.core import Agent
    from palaestra.agents.evaluation.arms import ArmSummary
    from palaestra.agents.evaluation.deciding import UntilDecided
    from palaestra.agents.evaluation.evaluation import Evaluation
    from palaestra.agents.rollout.engine import RolloutEngine
    from palaestra.agents.store.store import RunStore
    from palaestra.results.tables import EnvResults

EPISODE_ERRORS = 3
MESSAGE_CHARS = 400
MAX_DIGITS = 30
_WHOLE = ("finished", "decided")


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


def evaluate(
    context: typer.Context,
    env: Annotated[str | None, typer.Option("--env", metavar="ID", help="Environment to play.", show_default=False)] = None,
    settings: Settings = None,
    each: EachSetting = None,
    models: Annotated[
        list[str] | None,
        typer.Option(
            "--model",
            metavar="SPEC",
            help="random, nothing, expert, or a model: openai:NAME, anthropic:NAME, google:NAME, litellm:PROVIDER/NAME, "
            "http://HOST:PORT/v1#NAME, hf:PATH, scripted:FILE, or an agent of your own: MODULE:NAME. Repeatable.",
            show_default=False,
        ),
    ] = None,
    seat: SeatChoices = None,
    seat_option: SeatSettings = None,
    format: Annotated[
        str | None, typer.Option(help="How a model is asked to act: text, react, tools, json, code, hermes, auto.")
    ] = None,
    base_url: Annotated[str | None, typer.Option(help="Address of an OpenAI-compatible server.")] = None,
    n: Annotated[
        str | None, typer.Option("-n", "--n", metavar="N|all", help="Tasks, the first of the split. Default: 100.")
    ] = None,
    samples: Annotated[int | None, typer.Option(help="Episodes per task. Default: 1.")] = None,
    split: Annotated[str | None, typer.Option(help="Split of the tasks. Default: test.")] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of the evaluation. Default: 0.")] = None,
    max_turns: Annotated[int | None, typer.Option(help="Horizon in messages; by default the environment's.")] = None,
    temperature: Annotated[float | None, typer.Option(help="Sampling temperature. Default: 1.0.")] = None,
    max_tokens: Annotated[int | None, typer.Option(help="Most tokens per message.")] = None,
    option: Annotated[
        list[str] | None,
        typer.Option("--option", metavar="KEY=VALUE", help="Further option of the agent or its backend. Repeatable."),
    ] = None,
    concurrency: Annotated[int, typer.Option(help="Episodes in play at once.", min=1)] = 32,
    workers: Annotated[
        int | None,
        typer.Option(
            help="Environments outside of the event loop at once; 0: none. Default: 8 of those whose steps wait (engines).",
            min=0,
            show_default=False,
        ),
    ] = None,
    worker_kind: Annotated[
        str | None, typer.Option(metavar="process|thread", help="What a worker is; by default as the environment needs it.")
    ] = None,
    step_timeout: Annotated[
        float | None, typer.Option(metavar="SECONDS", help="Limit of one step of an environment in a worker.")
    ] = None,
    retries: Annotated[int | None, typer.Option(help="Attempts after a failed request. Default: 5.")] = None,
    timeout: Annotated[float | None, typer.Option(metavar="SECONDS", help="Limit of one request.")] = None,
    budget_calls: Annotated[int | None, typer.Option(help="Stop after this many requests.")] = None,
    budget_tokens: Annotated[int | None, typer.Option(help="Stop after this many tokens.")] = None,
    budget_cost: Annotated[float | None, typer.Option(help="Stop after this much money (needs --prices).")] = None,
    prices: Annotated[Path | None, typer.Option(metavar="FILE", help="TOML file of prices per million tokens.")] = None,
    until_decided: UntilFlag = False,
    against: Against = None,
    difference: Difference = None,
    power: Power = None,
    runs: RunsFolder = DEFAULT_RUNS,
    run: Annotated[
        list[str] | None,
        typer.Option("--run", metavar="ID", help="Resume this run (its settings are kept), or give a new one this name."),
    ] = None,
    retry_errors: Annotated[bool, typer.Option("--retry-errors", help="Play episodes again that ended in an error.")] = False,
    as_json: AsJson = False,
) -> None:
    """Evaluate agents on the tasks of a split: success and score with 95 % intervals, transcripts, a report.

    Every finished episode is kept at once: after a crash or Ctrl-C, `--run ID` resumes where the run stopped.
    """
    from palaestra.agents.evaluation.arms import env_results
    from palaestra.agents.rollout.engine import RolloutEngine
    from palaestra.agents.store.store import RunStore

    agent_options = _agent_options(
        _given(format=format, base_url=base_url, temperature=temperature, max_tokens=max_tokens), option
    )
    seats = parse_seats(seat, seat_option)
    until = until_of(until_decided, against, difference, power)
    remember_secrets(models, agent_options, *({"model": one.model, **one.options} for one in seats.models.values()))
    given = _given(
        env_id=env,
        env_kwargs=seats.arguments(parse_settings(settings)) or None,
        split=split,
        n=n,
        samples=samples,
        seed=seed,
        max_turns=max_turns,
    )
    service = _given(
        max_retries=retries,
        timeout_s=timeout,
        prices=prices and str(prices),
        budget=_budget(budget_calls, budget_tokens, budget_cost),
    )
    engine = RolloutEngine(
        concurrency,
        env_workers=workers,
        worker_kind=worker_kind,  # type: ignore[arg-type]  # it checks
        step_timeout_s=step_timeout,
    )
    with RunStore(runs) as store:
        planned = _planned(store, run or [], models or [], agent_options, given, parse_each(each), seats, until)
        agents = _Agents(planned, service)
        for distinct in _distinct_settings(planned):
            _check_env(distinct, planned[0].seats)
            engine.check_env(distinct["env_id"])
        if any(ChosenSeats(models=one.seats).has_person for one in planned):
            engine.concurrency = 1  # a person is in one episode at a time
        resume = _resume_command(planned, runs)
        if len(planned) > 1 and not run:  # later runs do not exist yet: the same words, with the names of the runs
            named = [word for one in planned for word in ("--run", one.run_id)]
            resume = shlex.join(["palaestra", *map(masked_word, context.obj or ()), *named])
        evaluations = _play(store, planned, agents, resume, engine, retry_errors=retry_errors)
        arms = _arms(store, evaluations)
        results = env_results([row.arm for row in arms])
        report = _write_reports(store, [one.run_id for one in planned], results)
    if as_json:
        _print_json(evaluations, arms, results, report)
    else:
        _print(evaluations, arms, results, report, runs)
    if any(evaluation.summary.errors or evaluation.status not in _WHOLE for evaluation in evaluations):
        raise typer.Exit(EPISODE_ERRORS)


# -- what to play -----------------------------------------------------------------------------------------------------


def _planned(
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


class _Agents:
    """The agents of the runs, each built when its run is played, but one of each model before anything is stored.

    A model that plays several runs is never held twice: its weights may be large.
    """

    def __init__(self, planned: Sequence[PlannedRun], service: Mapping[str, Any]) -> None:
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


def _distinct_settings(planned: Sequence[PlannedRun]) -> list[Mapping[str, Any]]:
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


def _check_env(settings: Mapping[str, Any], seats: Mapping[str, SeatModel]) -> None:
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


def _budget(calls: int | None, tokens: int | None, cost: float | None) -> dict[str, float] | None:
    """Return the budget that was given, if any."""
    return _given(calls=calls, tokens=tokens, cost=cost) or None


def _agent_options(flags: Mapping[str, Any], option: Sequence[str] | None) -> dict[str, Any]:
    """Return the options of agents: those with a flag of their own, and those of `--option`."""
    own = parse_settings(option, "--option")
    if both := sorted(flags.keys() & own.keys()):
        raise UsageError(f"--{both[0].replace('_', '-')} and --option {both[0]}=... are both given; give one of them.")
    return {**flags, **own}


def _given(**values: Any) -> dict[str, Any]:
    """Return the values that are not None."""
    return {key: value for key, value in values.items() if value is not None}


# -- playing ----------------------------------------------------------------------------------------------------------


def _play(
    store: RunStore,
    planned: Sequence[PlannedRun],
    agents: _Agents,
    resume: str,
    engine: RolloutEngine,
    *,
    retry_errors: bool,
) -> list[Evaluation]:
    """Play the runs one after the other."""
    from palaestra.agents.evaluation import evaluation
    from palaestra.cli.output import Interrupted, Progresses, progress
    from palaestra.results.tables import arm_name, differing

    Thread(target=_prepare_report, name="palaestra report", daemon=True).start()
    finished = []
    values = differing([run.settings["env_kwargs"] for run in planned])
    has_person = any(ChosenSeats(models=run.seats).has_person for run in planned)
    # a bar that redraws itself would write over what a person reads and types
    with contextlib.nullcontext(Progresses(None)) if has_person else progress() as lines:
        for index, run in enumerate(planned):
            agent = agents.take(index)
            line = lines.line(arm_name(agent.name, values[index]))
            settings = dict(run.settings)
            try:
                finished.append(
                    evaluation.evaluate(
                        settings.pop("env_id"),
                        agent,
                        **settings,
                        store=store,
                        run_id=run.run_id,
                        retry_errors=retry_errors,
                        extra_config={"model": masked(run.model), "model_options": run.stored_options(), **run.stored_seats()},
                        engine=engine,
                        progress=line.update,
                        results=False,  # of all runs together, below
                        until_decided=run.until,
                        close_agent=True,
                    )
                )
            except KeyboardInterrupt:
                raise Interrupted(resume) from None
            except StoreError as error:
                raise StoreError(f"{error} Resume with: {resume}") from error
    return finished


def _resume_command(planned: Sequence[PlannedRun], runs: Path, *extra: str) -> str:
    """Return the command that resumes runs."""
    where = [] if runs == DEFAULT_RUNS else ["--runs", str(runs)]
    words = ["palaestra", "evaluate", *(word for run in planned for word in ("--run", run.run_id)), *where, *extra]
    return shlex.join(words)


def _another_run(evaluation: Evaluation, runs: Path) -> str:
    """Return the command that plays the same with another model, to be corrected; secrets and limits are left out."""
    from palaestra.cli.starter import toml_value

    config, number = evaluation.config, 2
    while (runs / f"{evaluation.run_id}-{number}").exists():
        number += 1
    words = ["palaestra", "evaluate", "--env", str(config["envs"][0]["env_id"]), "--model", str(config["model"])]
    settings = [("--option", config["model_options"]), ("--set", config["envs"][0]["env_kwargs"])]
    for flag, values in settings:
        words += [
            word
            for key, value in values.items()
            if value is not None
            for word in (flag, masked_word(f"{key}={toml_value(value)}"))
        ]
    for seat, one in config.get("seat_models", {}).items():
        words += ["--seat", f"{seat}={one['model']}"]
        for key, value in one["options"].items():
            words += ["--seat-option", masked_word(f"{seat}.{key}={toml_value(value)}")]
    usual = {"split": "test", "samples": 1, "seed": 0, "max_turns": None}
    for key, value in usual.items():
        words += [f"--{key.replace('_', '-')}", str(config[key])] if config[key] != value else []
    words += ["-n", "all" if config["n"] is None else str(config["n"])]
    where = [] if runs == DEFAULT_RUNS else ["--runs", str(runs)]
    return shlex.join([*words, "--run", f"{evaluation.run_id}-{number}", *where])


def _arms(store: RunStore, evaluations: Sequence[Evaluation]) -> list[ArmSummary]:
    """Return the played arms."""
    from palaestra.agents.evaluation.arms import PlayedRun, arms_of

    played = [PlayedRun(one.run_id, one.config, store.episodes(one.run_id)) for one in evaluations]
    return arms_of(played, store.get)


def _prepare_report() -> None:
    """Import what the report needs, while models and environments are waited for: two tenths of a second in short runs."""
    from palaestra.agents.report.report import page_template

    page_template()


def _write_reports(store: RunStore, run_ids: Sequence[str], results: Mapping[str, EnvResults]) -> Path:
    """Write a report for each run, and one for all of them side by side if there are several; return the latter."""
    from palaestra.agents.report import write_report

    if len(run_ids) == 1:
        return write_report(store.run_folder(run_ids[0]) / "report.html", run_ids, store=store, results=results)
    for run_id in run_ids:
        write_report(store.run_folder(run_id) / "report.html", [run_id], store=store)
    return write_report(store.run_folder(run_ids[0]) / "comparison.html", run_ids, store=store, results=results)


# -- printing ---------------------------------------------------------------------------------------------------------


def _print_json(
    evaluations: Sequence[Evaluation], arms: Sequence[ArmSummary], results: Mapping[str, EnvResults], report: Path
) -> None:
    """Print everything for machines."""
    from palaestra.agents.evaluation.arms import unshared_tasks
    from palaestra.cli.output import print_json

    own: dict[str, Json] = {"results": {env_id: found.to_json() for env_id, found in results.items()}} if results else {}
    if told := unshared_tasks(arms):
        own["notices"] = told
    print_json({"runs": [evaluation.to_json() for evaluation in evaluations], **own, "report": str(report.resolve())})


def _told_size(evaluation: Evaluation) -> str:
    """Return a line where the split has fewer tasks than were asked for."""
    config = evaluation.config
    if config["n"] is None:
        return ""
    num_tasks = evaluation.num_planned // config["samples"]
    if num_tasks >= config["n"]:
        return ""
    tasks = "1 task" if num_tasks == 1 else f"{num_tasks:,} tasks"
    return f"{evaluation.run_id}: the split {config['split']!r} has {tasks}; -n {config['n']:,} plays it whole."


def _print(
    evaluations: Sequence[Evaluation],
    arms: Sequence[ArmSummary],
    results: Mapping[str, EnvResults],
    report: Path,
    runs: Path,
) -> None:
    """Print the tables, what went wrong, and where to look."""
    from palaestra.agents.store.records import BIASED
    from palaestra.cli.output import console
    from palaestra.cli.results import print_results

    out = console()
    print_results(out, arms, results)
    print_decisions(out, evaluations)
    for evaluation in evaluations:
        if told := _told_size(evaluation):
            out.print(told, soft_wrap=True, markup=False)
        name, again = evaluation.run_id, PlannedRun(evaluation.run_id, "", {}, {})
        total = evaluation.summary.total
        is_unscored = 0 < total.num_errors == total.num_episodes
        if evaluation.status not in _WHOLE:
            out.print(f"{name} {evaluation.status}: {evaluation.note}", style="red", soft_wrap=True)
            if not is_unscored:
                out.print(f"  its numbers are those so far, and {BIASED}", soft_wrap=True)
            out.print(
                f"  go on: {_resume_command([again], runs, *(('--retry-errors',) if is_unscored else ()))}", soft_wrap=True
            )
        if evaluation.summary.errors:
            causes = ", ".join(f"{cause} ({count})" for cause, count in evaluation.summary.error_types.items())
            out.print(
                f"{evaluation.summary.total.num_errors} episodes of {name} ended in an error, not scored: {causes}",
                style="red",
            )
            for cause, message in sorted(evaluation.summary.error_messages.items()):
                first = " ".join(message.split())[:MESSAGE_CHARS]
                out.print(f"  {cause}, first: {first}", style="red", soft_wrap=True, markup=False, highlight=False)
            if not is_unscored or evaluation.status in _WHOLE:  # else it is said above
                out.print(f"  play them again: {_resume_command([again], runs, '--retry-errors')}", soft_wrap=True)
            if is_unscored:
                out.print(f"  with another model or address: {_another_run(evaluation, runs)}", soft_wrap=True, markup=False)
    for evaluation in evaluations:
        out.print(f"Run     {evaluation.run_id}", soft_wrap=True)
    out.print(f"Report  {report.resolve()}", soft_wrap=True)
