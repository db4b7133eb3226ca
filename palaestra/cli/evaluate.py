"""`palaestra evaluate`: play an agent on the tasks of a split; resumable, with a report."""

from __future__ import annotations

import contextlib
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, Annotated, Any

import typer

from palaestra.agents.masking import masked, remember_secrets
from palaestra.cli.options import (
    DEFAULT_RUNS,
    AsJson,
    EachSetting,
    RunsFolder,
    Settings,
    parse_each,
    parse_settings,
    typed_id,
)
from palaestra.cli.planned import AgentsOfRuns, PlannedRun, check_env_of, distinct_settings, planned_runs
from palaestra.cli.played import WHOLE, print_evaluations, print_evaluations_json, resume_command
from palaestra.cli.seats import (
    ChosenSeats,
    SeatChoices,
    SeatSettings,
    masked_word,
    parse_seats,
)
from palaestra.cli.until_decided import Against, Difference, Power, UntilFlag, until_of
from palaestra.errors import StoreError, UsageError

if TYPE_CHECKING:
    from palaestra.agents.evaluation.arms import ArmSummary
    from palaestra.agents.evaluation.evaluation import Evaluation
    from palaestra.agents.rollout.engine import RolloutEngine
    from palaestra.agents.store.store import RunStore
    from palaestra.results.tables import EnvResults

EPISODE_ERRORS = 3


def evaluate(
    context: typer.Context,
    env: Annotated[
        str | None,
        typer.Option("--env", metavar="ID", help="Environment to play.", show_default=False, callback=typed_id),
    ] = None,
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
        planned = planned_runs(store, run or [], models or [], agent_options, given, parse_each(each), seats, until)
        agents = AgentsOfRuns(planned, service)
        for distinct in distinct_settings(planned):
            check_env_of(distinct, planned[0].seats)
            engine.check_env(distinct["env_id"])
        if any(ChosenSeats(models=one.seats).has_person for one in planned):
            engine.concurrency = 1  # a person is in one episode at a time
        resume = resume_command([one.run_id for one in planned], runs)
        if len(planned) > 1 and not run:  # later runs do not exist yet: the same words, with the names of the runs
            named = [word for one in planned for word in ("--run", one.run_id)]
            resume = shlex.join(["palaestra", *map(masked_word, context.obj or ()), *named])
        evaluations = _play(store, planned, agents, resume, engine, retry_errors=retry_errors)
        arms = _arms(store, evaluations)
        results = env_results([row.arm for row in arms])
        report = _write_reports(store, [one.run_id for one in planned], results)
    if as_json:
        print_evaluations_json(evaluations, arms, results, report)
    else:
        print_evaluations(evaluations, arms, results, report, runs)
    if any(evaluation.summary.errors or evaluation.status not in WHOLE for evaluation in evaluations):
        raise typer.Exit(EPISODE_ERRORS)


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
    agents: AgentsOfRuns,
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
