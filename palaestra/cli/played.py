"""What `palaestra evaluate` says when it is through: tables, what went wrong, and the commands that continue or repeat it."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from palaestra.cli.options import DEFAULT_RUNS
from palaestra.cli.seats import masked_word
from palaestra.cli.until_decided import print_decisions
from palaestra.types import Json

if TYPE_CHECKING:
    from palaestra.agents.evaluation.arms import ArmSummary
    from palaestra.agents.evaluation.evaluation import Evaluation
    from palaestra.results.tables import EnvResults

MESSAGE_CHARS = 400
WHOLE = ("finished", "decided")
"""States of a run that ended as it was to end."""


def print_evaluations_json(
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


def print_evaluations(
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
        name = evaluation.run_id
        total = evaluation.summary.total
        is_unscored = 0 < total.num_errors == total.num_episodes
        if evaluation.status not in WHOLE:
            out.print(f"{name} {evaluation.status}: {evaluation.note}", style="red", soft_wrap=True)
            if not is_unscored:
                out.print(f"  its numbers are those so far, and {BIASED}", soft_wrap=True)
            out.print(
                f"  go on: {resume_command([name], runs, *(('--retry-errors',) if is_unscored else ()))}", soft_wrap=True
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
            if not is_unscored or evaluation.status in WHOLE:  # else it is said above
                out.print(f"  play them again: {resume_command([name], runs, '--retry-errors')}", soft_wrap=True)
            if is_unscored:
                out.print(f"  with another model or address: {_another_run(evaluation, runs)}", soft_wrap=True, markup=False)
    for evaluation in evaluations:
        out.print(f"Run     {evaluation.run_id}", soft_wrap=True)
    out.print(f"Report  {report.resolve()}", soft_wrap=True)


def resume_command(run_ids: Sequence[str], runs: Path, *extra: str) -> str:
    """Return the command that resumes runs, by their names."""
    where = [] if runs == DEFAULT_RUNS else ["--runs", str(runs)]
    words = ["palaestra", "evaluate", *(word for run_id in run_ids for word in ("--run", run_id)), *where, *extra]
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


__all__ = ["WHOLE", "print_evaluations", "print_evaluations_json", "resume_command"]
