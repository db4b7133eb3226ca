"""`palaestra evaluate`: play an agent on the tasks of a split; resumable, with a report."""

from __future__ import annotations

import re
import secrets
import shlex
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from palaestra.cli.options import DEFAULT_RUNS, AsJson, EachSetting, RunsFolder, Settings, parse_each, parse_settings
from palaestra.errors import ConfigError, StoreError, UsageError
from palaestra.types import Json

if TYPE_CHECKING:
    from palaestra.agents.core import Agent
    from palaestra.agents.evaluation.evaluation import Evaluation
    from palaestra.agents.store.store import RunStore
    from palaestra.results.tables import EnvResults

EPISODE_ERRORS = 3
_SECRET_OPTIONS = ("api_key",)


@dataclass(frozen=True)
class Arm:
    """One agent to evaluate, as the run store keeps it.

    Attributes:
        run_id: Name of its run.
        model: Agent name or model string.
        options: Arguments of `make_agent` that change how the agent plays.
        settings: Arguments of `evaluate`: `env_id`, `env_kwargs`, `split`, `n`, `samples`, `seed`, `max_turns`.
    """

    run_id: str
    model: str
    options: Mapping[str, Json]
    settings: Mapping[str, Any]

    def stored_options(self) -> dict[str, Json]:
        """Return the options without secrets."""
        return {key: value for key, value in self.options.items() if key not in _SECRET_OPTIONS}


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
            help="random, nothing, expert, openai:NAME, http://HOST:PORT/v1#NAME, hf:PATH or scripted:FILE. Repeatable.",
            show_default=False,
        ),
    ] = None,
    format: Annotated[
        str | None, typer.Option(help="How a model is asked to act: text, react, tools, json, code, auto.")
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
    retries: Annotated[int | None, typer.Option(help="Attempts after a failed request. Default: 5.")] = None,
    timeout: Annotated[float | None, typer.Option(metavar="SECONDS", help="Limit of one request.")] = None,
    budget_calls: Annotated[int | None, typer.Option(help="Stop after this many requests.")] = None,
    budget_tokens: Annotated[int | None, typer.Option(help="Stop after this many tokens.")] = None,
    budget_cost: Annotated[float | None, typer.Option(help="Stop after this much money (needs --prices).")] = None,
    prices: Annotated[Path | None, typer.Option(metavar="FILE", help="TOML file of prices per million tokens.")] = None,
    runs: RunsFolder = DEFAULT_RUNS,
    run: Annotated[
        list[str] | None,
        typer.Option("--run", metavar="ID", help="Go on with this run (its settings are kept), or give a new one this name."),
    ] = None,
    retry_errors: Annotated[bool, typer.Option("--retry-errors", help="Play episodes again that ended in an error.")] = False,
    as_json: AsJson = False,
) -> None:
    """Evaluate agents on the tasks of a split: success and score with 95 % intervals, transcripts, a report.

    Every finished episode is kept at once: after a crash or Ctrl-C, `--run ID` goes on where the run stopped.
    """
    from palaestra.agents.store.store import RunStore

    agent_options = _given(
        format=format, base_url=base_url, temperature=temperature, max_tokens=max_tokens, **parse_settings(option)
    )
    given = _given(
        env_id=env,
        env_kwargs=parse_settings(settings) or None,
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
    with RunStore(runs) as store:
        arms = _arms(store, run or [], models or [], agent_options, given, parse_each(each))
        agents = _Agents(arms, service)
        for distinct in _distinct_settings(arms):
            _check_env(distinct)
        resume = _resume_command(arms, runs)
        if len(arms) > 1 and not run:  # later arms have no run to go on with yet: the same words, with the names of the runs
            named = [word for arm in arms for word in ("--run", arm.run_id)]
            resume = shlex.join(["palaestra", *(context.obj or ()), *named])
        evaluations = _play(store, arms, agents, resume, concurrency=concurrency, retry_errors=retry_errors)
        report = _write_reports(store, [arm.run_id for arm in arms])
        results = _env_results(store, evaluations)
    if as_json:
        _print_json(evaluations, results, report)
    else:
        _print(evaluations, results, report, runs)
    if any(evaluation.summary.errors or evaluation.status != "finished" for evaluation in evaluations):
        raise typer.Exit(EPISODE_ERRORS)


# -- what to play -----------------------------------------------------------------------------------------------------


def _arms(
    store: RunStore,
    run_ids: Sequence[str],
    models: Sequence[str],
    options: Mapping[str, Json],
    given: Mapping[str, Any],
    each: Sequence[Mapping[str, Json]],
) -> list[Arm]:
    """Return what to play: stored runs to go on with, or new ones, each model with each combination of values."""
    stored = {run.run_id for run in store.runs()}
    if run_ids and not models:
        if each[0]:
            raise UsageError(f"--each {next(iter(each[0]))}=... starts new runs; leave it out to go on with --run.")
        return [_stored_arm(store, run_id, stored, options, given) for run_id in run_ids]
    if not models:
        raise UsageError("There is no agent to evaluate; name one with --model, e.g. --model random or --model openai:NAME.")
    if "env_id" not in given:
        raise UsageError("There is no environment to play; name one with --env, e.g. --env palaestra/TextCraft-v0.")
    if run_ids and len(run_ids) != len(models) * len(each):
        arms = f"{len(models)} --model" if len(each) == 1 else f"{len(models)} --model with {len(each)} --each values"
        per = "model" if len(each) == 1 else "model and value"
        raise UsageError(f"There are {arms} and {len(run_ids)} --run; give one --run per {per}, or none.")
    if options and not any(":" in model for model in models):
        raise ConfigError(f"{', '.join(models)} take no options; leave out {', '.join(sorted(options))}.")
    settings = {"env_kwargs": {}, "split": "test", "n": 100, "samples": 1, "seed": 0, "max_turns": None, **given}
    settings["n"] = _number(settings["n"])
    if twice := sorted(settings["env_kwargs"].keys() & each[0].keys()):
        raise ConfigError(f"{twice[0]} is given by --set and by --each; leave one of them out.")
    played = [(model, values) for model in models for values in each]
    ids = list(run_ids) or _new_ids(["-".join([_last_part(model), *map(str, values.values())]) for model, values in played])
    return [
        Arm(
            run_id,
            model,
            options if ":" in model else {},
            {**settings, "env_kwargs": {**settings["env_kwargs"], **values}},
        )
        for run_id, (model, values) in zip(ids, played, strict=True)
    ]


def _stored_arm(store: RunStore, run_id: str, stored: set[str], options: Mapping[str, Json], given: Mapping[str, Any]) -> Arm:
    """Return the arm that a stored run was created for; a new wish contradicts it."""
    if run_id not in stored:
        store.run(run_id)  # raises with the nearest name
    config = store.config(run_id)
    if config.get("kind") != "evaluate" or "model" not in config:
        raise UsageError(
            f"Run {run_id!r} was not made by 'palaestra evaluate'; a training run goes on with: palaestra train --run."
        )
    env = config["envs"][0]
    kept = {"env_id": env["env_id"], "env_kwargs": env["env_kwargs"]}
    kept |= {key: config[key] for key in ("split", "n", "samples", "seed", "max_turns")}
    wishes = {**given, **({"n": _number(given["n"])} if "n" in given else {})}
    for name, old, new in [(k, kept[k], v) for k, v in wishes.items()] + [
        (k, config["model_options"].get(k), v) for k, v in options.items()
    ]:
        if old != new and name not in _SECRET_OPTIONS:
            raise ConfigError(
                f"Run {run_id!r} was created with {name}={old!r}, now {name}={new!r}; leave it out, or start a new run."
            )
    return Arm(run_id, config["model"], {**config["model_options"], **options}, kept)


def _last_part(model: str) -> str:
    """Return the part of a model string that says most."""
    return model.rpartition("/")[2] or model


def _new_ids(names: Sequence[str]) -> list[str]:
    """Return names for new runs: when, and who."""
    stamp = f"{time.strftime('%Y%m%d-%H%M%S', time.gmtime())}-{secrets.token_hex(2)}"
    slugs = [re.sub(r"[^A-Za-z0-9.]+", "-", name).strip("-.")[:60] for name in names]
    return [f"{stamp}-{slug}" if slugs.count(slug) == 1 else f"{stamp}-{i}-{slug}" for i, slug in enumerate(slugs)]


class _Agents:
    """The agents of the arms, each built when its arm is played, but one of each model before anything is stored.

    A model that plays several arms is never held twice: its weights may be large.
    """

    def __init__(self, arms: Sequence[Arm], service: Mapping[str, Any]) -> None:
        self._arms, self._service = arms, service
        self._built: dict[int, Agent] = {}
        seen: list[tuple[str, Mapping[str, Json]]] = []
        for index, arm in enumerate(arms):
            if (arm.model, arm.options) not in seen:
                seen.append((arm.model, arm.options))
                self._built[index] = _make_agent(arm, service)

    def take(self, index: int) -> Agent:
        """Return the agent of an arm; it is not kept here any longer."""
        return self._built.pop(index, None) or _make_agent(self._arms[index], self._service)


def _distinct_settings(arms: Sequence[Arm]) -> list[Mapping[str, Any]]:
    """Return the settings of the arms, each once."""
    found: list[Mapping[str, Any]] = []
    for arm in arms:
        if arm.settings not in found:
            found.append(arm.settings)
    return found


def _make_agent(arm: Arm, service: Mapping[str, Any]) -> Agent:
    """Build the agent of an arm."""
    from palaestra.agents.registry import make_agent

    if arm.model == "human":
        raise UsageError("A person plays with: palaestra play ENV_ID.")
    return make_agent(arm.model, **arm.options, **(service if ":" in arm.model else {}))


def _check_env(settings: Mapping[str, Any]) -> None:
    """Refuse an unknown environment, argument or split before anything is stored."""
    from palaestra.cli.environments import open_env

    env = open_env(settings["env_id"], settings["env_kwargs"])
    try:
        if hasattr(env.unwrapped, "tasks"):
            env.unwrapped.tasks.split(settings["split"])
    finally:
        env.close()


def _number(n: str | int | None) -> int | None:
    """Read -n: a number, or all."""
    if n is None or n == "all":
        return None
    if not str(n).isdecimal() or int(n) < 1:
        raise ConfigError(f"-n is {n!r}; expected a number of tasks of at least 1, or all.")
    return int(n)


def _budget(calls: int | None, tokens: int | None, cost: float | None) -> dict[str, float] | None:
    """Return the budget that was given, if any."""
    return _given(calls=calls, tokens=tokens, cost=cost) or None


def _given(**values: Any) -> dict[str, Any]:
    """Return the values that are not None."""
    return {key: value for key, value in values.items() if value is not None}


# -- playing ----------------------------------------------------------------------------------------------------------


def _play(
    store: RunStore, arms: Sequence[Arm], agents: _Agents, resume: str, *, concurrency: int, retry_errors: bool
) -> list[Evaluation]:
    """Play the arms one after the other."""
    from palaestra.agents.evaluation import evaluation
    from palaestra.cli.output import Interrupted, progress
    from palaestra.results.tables import arm_name, differing

    finished = []
    values = differing([arm.settings["env_kwargs"] for arm in arms])
    with progress() as lines:
        for index, arm in enumerate(arms):
            agent = agents.take(index)
            line = lines.line(arm_name(agent.name, values[index]))
            settings = dict(arm.settings)
            try:
                finished.append(
                    evaluation.evaluate(
                        settings.pop("env_id"),
                        agent,
                        **settings,
                        store=store,
                        run_id=arm.run_id,
                        retry_errors=retry_errors,
                        extra_config={"model": arm.model, "model_options": arm.stored_options()},
                        concurrency=concurrency,
                        progress=line.update,
                        close_agent=True,
                    )
                )
            except KeyboardInterrupt:
                raise Interrupted(resume) from None
            except StoreError as error:
                raise StoreError(f"{error} Go on with: {resume}") from error
    return finished


def _resume_command(arms: Sequence[Arm], runs: Path, *extra: str) -> str:
    """Return the command that goes on with runs."""
    where = [] if runs == DEFAULT_RUNS else ["--runs", str(runs)]
    words = ["palaestra", "evaluate", *(word for arm in arms for word in ("--run", arm.run_id)), *where, *extra]
    return shlex.join(words)


def _write_reports(store: RunStore, run_ids: Sequence[str]) -> Path:
    """Write a report for each run, and one for all of them side by side if there are several; return the latter."""
    from palaestra.agents.report import write_report

    paths = [write_report(store.run_folder(run_id) / "report.html", [run_id], store=store) for run_id in run_ids]
    if len(paths) == 1:
        return paths[0]
    return write_report(store.run_folder(run_ids[0]) / "comparison.html", run_ids, store=store)


def _env_results(store: RunStore, evaluations: Sequence[Evaluation]) -> dict[str, EnvResults]:
    """Return what the environments report of their own, by id."""
    from palaestra.results.tables import PlayedArm, differing, env_results

    specs = [evaluation.config["envs"][0] for evaluation in evaluations]
    values = differing([spec["env_kwargs"] for spec in specs])
    return env_results(
        [
            PlayedArm(
                evaluation.run_id,
                str(evaluation.config["agent"]),
                spec["env_id"],
                spec["env_kwargs"],
                store.trajectories(evaluation.run_id),
                telling,
            )
            for evaluation, spec, telling in zip(evaluations, specs, values, strict=True)
        ]
    )


# -- printing ---------------------------------------------------------------------------------------------------------


def _print_json(evaluations: Sequence[Evaluation], results: Mapping[str, EnvResults], report: Path) -> None:
    """Print everything for machines."""
    from palaestra.cli.output import print_json

    own = {"results": {env_id: found.to_json() for env_id, found in results.items()}} if results else {}
    print_json({"runs": [evaluation.to_json() for evaluation in evaluations], **own, "report": str(report.resolve())})


def _print(evaluations: Sequence[Evaluation], results: Mapping[str, EnvResults], report: Path, runs: Path) -> None:
    """Print the tables, what went wrong, and where to look."""
    from palaestra.cli.output import console
    from palaestra.cli.results import env_tables, results_table
    from palaestra.results.tables import arm_name, differing

    out = console()
    values = differing([evaluation.config["envs"][0]["env_kwargs"] for evaluation in evaluations])
    names = [
        arm_name(str(evaluation.config["agent"]), telling) for evaluation, telling in zip(evaluations, values, strict=True)
    ]
    summaries = [evaluation.summary for evaluation in evaluations]
    out.print(results_table(list(zip(names, summaries, strict=True)), width=out.width))
    for found in results.values():
        for part in env_tables(found.tables()):
            out.print(part)
    for evaluation in evaluations:
        name, again = evaluation.run_id, Arm(evaluation.run_id, "", {}, {})
        if evaluation.status != "finished":
            out.print(f"{name} {evaluation.status}: {evaluation.note}", style="red", soft_wrap=True)
            out.print(f"  go on: {_resume_command([again], runs)}", soft_wrap=True)
        if evaluation.summary.errors:
            causes = ", ".join(f"{cause} ({count})" for cause, count in evaluation.summary.error_types.items())
            out.print(
                f"{evaluation.summary.total.num_errors} episodes of {name} ended in an error, not scored: {causes}",
                style="red",
            )
            out.print(f"  play them again: {_resume_command([again], runs, '--retry-errors')}", soft_wrap=True)
    for evaluation in evaluations:
        out.print(f"Run     {evaluation.run_id}", soft_wrap=True)
    out.print(f"Report  {report.resolve()}", soft_wrap=True)
