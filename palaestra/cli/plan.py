"""`palaestra plan`: how many tasks and samples a comparison needs, before money is spent."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from palaestra.cli.options import DEFAULT_RUNS, AsJson, RunsFolder, typed_id
from palaestra.errors import ConfigError
from palaestra.types import Json
from palaestra.types.plain_json import finite

SAMPLES = (1, 2, 4, 8)

_ASSUME = "Name other runs, or leave --run out and say what to assume with --rate, --likeness and --correlation."


def plan(
    env: Annotated[str, typer.Option("--env", metavar="ID", help="Environment.", show_default=False, callback=typed_id)],
    difference: Annotated[float, typer.Option("--difference", help="Difference of success that is to be found, 0 to 1.")],
    run: Annotated[
        list[str] | None,
        typer.Option("--run", metavar="ID", help="Stored run whose variance is taken. Repeatable.", show_default=False),
    ] = None,
    power: Annotated[float, typer.Option(help="Chance to find it.")] = 0.8,
    alpha: Annotated[float, typer.Option(help="Chance of a false alarm.")] = 0.05,
    rate: Annotated[float, typer.Option(help="Success that is assumed without a run.")] = 0.5,
    likeness: Annotated[float, typer.Option(help="Assumed correlation of two samples of a task.")] = 0.5,
    correlation: Annotated[float, typer.Option(help="Assumed correlation of two agents over tasks.")] = 0.5,
    n: Annotated[int | None, typer.Option("-n", "--n", help="Tasks at hand: also say what they find.", min=1)] = None,
    runs: RunsFolder = DEFAULT_RUNS,
    as_json: AsJson = False,
) -> None:
    """Say how many tasks, samples and episodes find a difference of success between two agents on the same tasks."""
    from palaestra.cli.output import console, print_json, table
    from palaestra.envs.registration import find_spec
    from palaestra.results.statistics.variance import difference_found, tasks_needed

    find_spec(env)  # an id that does not exist is told here
    for name, value in (("--rate", rate), ("--likeness", likeness), ("--correlation", correlation)):
        if not 0 <= value <= 1:
            raise ConfigError(f"{name} is {value}; expected a number from 0 to 1.")
    if not 0 < abs(difference) <= 1:
        raise ConfigError(f"--difference is {difference}; expected a share from 0 to 1, e.g. 0.05 for five points.")
    if run:
        between, own, source = _of_runs(run, runs, env, correlation)
    else:
        spread = rate * (1 - rate)
        between, own = 2 * spread * likeness * (1 - correlation), 2 * spread * (1 - likeness)
        if between + own == 0:
            raise ConfigError(
                f"With --rate {rate}, --likeness {likeness} and --correlation {correlation} no two episodes differ, so no "
                f"variance follows. Assume a rate above 0 and below 1, or take that of a stored run with --run."
            )
        source = f"assumed: success {rate}, likeness of samples {likeness}, correlation of agents {correlation}"
    rows: list[dict[str, Json]] = []
    for samples in SAMPLES:
        variance = between + own / samples
        tasks = tasks_needed(difference, variance, power=power, alpha=alpha)
        row: dict[str, Json] = {"samples": samples, "tasks": tasks, "episodes": tasks * samples, "both": 2 * tasks * samples}
        if n is not None:
            row["difference_found"] = finite(difference_found(n, variance, power=power, alpha=alpha))
        rows.append(row)
    variances: dict[str, Json] = {"between": between, "model": own}
    if as_json:
        given: dict[str, Json] = {"env": env, "difference": difference, "power": power, "alpha": alpha}
        print_json({**given, "variance": variances, "source": source, "plans": rows})
        return
    out = console()
    columns = ["Samples", "Tasks", "Episodes", "Both agents"] + ([f"{n:,} tasks find"] if n else [])
    grid = table("", *columns, numbers=tuple(columns))
    for row in rows:
        cells = [f"{row[key]:,}" for key in ("samples", "tasks", "episodes", "both")]
        grid.add_row(*cells, *([_points(row["difference_found"])] if n else []))
    out.print(grid)
    out.print(
        f"To find {_points(difference)} in {env} with a chance of {100 * power:.0f} % (false alarms {100 * alpha:.0f} %), "
        f"both agents on the same tasks.",
        soft_wrap=True,
    )
    out.print(f"Variance of the difference of a task: {between:.4f} + {own:.4f} / samples; {source}.", soft_wrap=True)


def _of_runs(names: list[str], folder: Any, env: str, correlation: float) -> tuple[float, float, str]:
    """Return the variance between tasks and of the samples of a difference, from stored runs, and what they are from."""
    from palaestra.agents.evaluation.arms import PlayedRun
    from palaestra.agents.evaluation.comparing import variances_of
    from palaestra.agents.store.store import RunStore
    from palaestra.cli.memory import no_cycles
    from palaestra.results.statistics import mean_of

    with no_cycles():
        with RunStore(folder, read_only=True) as store:
            played = [PlayedRun.of(store, name) for name in dict.fromkeys(names)]
        splits = [split for (_, env_id), split in variances_of(played).items() if env_id == env]
    known = [split for split in splits if split.task is not None]
    if not known:
        raise ConfigError(f"{', '.join(names)} have no two tasks of {env} that were scored, so no variance follows. {_ASSUME}")
    task = mean_of([(split.task or 0.0) + (split.world or 0.0) + (split.partner or 0.0) for split in known])
    model = mean_of([split.model or 0.0 for split in known])
    if task + model == 0:
        raise ConfigError(f"All episodes of {', '.join(names)} ended alike, so no variance follows. {_ASSUME}")
    told = f"from {', '.join(names)}, with an assumed correlation of agents of {correlation}"
    if any(split.model is None for split in known):
        told += "; with one sample per task its draws are part of the tasks, so more samples show no gain"
    return 2 * task * (1 - correlation), 2 * model, told


def _points(share: Any) -> str:
    """Return 0.05 as "5.0 points"."""
    return "nothing" if share is None else f"{100 * share:.1f} points"
