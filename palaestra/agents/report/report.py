"""`write_report`: runs from the store become one HTML file that needs nothing else.

The numbers come from the store's episode summaries, the transcripts from a bounded sample of trajectories
(`transcripts.py`), the drawings from logged metrics (`charts.py`). Everything that a model, a task or a user wrote is
escaped by Jinja or carried as JSON; a content security policy names the digest of the one script that may run.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from palaestra.agents.evaluation.arms import (
    ArmSummary,
    PlayedRun,
    arms_of,
    env_results,
    is_training,
    metrics_of_arms,
    metrics_table,
    unshared_tasks,
    with_arms,
)
from palaestra.agents.evaluation.floors import AboveFloor, floors_of
from palaestra.agents.evaluation.resuming import briefly
from palaestra.agents.report.breakdowns import by_type, error_rows, totals_tables
from palaestra.agents.report.charts import (
    HORIZON_NAMES,
    LINE_STYLES,
    Curve,
    draw_curves,
    horizon_changes,
    metric_rank,
    read_curves,
)
from palaestra.agents.report.page import (
    digest,
    duration,
    ends,
    figure,
    page_environment,
    percent,
    percent_range,
    points,
    points_range,
    short_count,
    write_page,
)
from palaestra.agents.report.seeds import Trained, alarm_notices, compare_runs, curve_names, final_runs
from palaestra.agents.report.shown_media import ShownMedia
from palaestra.agents.report.transcripts import TranscriptBook, TranscriptLimits, candidates_of
from palaestra.agents.store.store import RunStore, RunSummary
from palaestra.errors import MissingExtraError, UsageError
from palaestra.results.tables import EnvResults
from palaestra.types import Json

_HERE = Path(__file__).parent
_KNOWN_ENDINGS = ("success", "failure", "env_done", "max_rounds", "max_tokens", "invalid_limit", "env_error", "model_error")
_MAX_CURVES = 24
_NUM_LEAD = 10


@dataclass(frozen=True, slots=True)
class _Card:
    """One headline figure."""

    label: str
    value: str
    note: str = ""


def write_report(
    path: str | os.PathLike[str],
    runs: Sequence[str],
    *,
    store: RunStore | str | os.PathLike[str] = "runs",
    title: str = "",
    limits: TranscriptLimits | None = None,
    labels: Mapping[str, str] | None = None,
    results: Mapping[str, EnvResults] | None = None,
) -> Path:
    """Write one self-contained HTML page about one run, or about several side by side.

    Args:
        path: File to write; its folder is made if need be. An existing file is replaced in one move.
        runs: Ids of runs in `store`, in the order in which they are shown.
        store: Where the runs are: a store, or its folder, which is only read.
        title: Headline; by default made from the runs' environments.
        limits: How many transcripts are embedded, and how long they may be.
        labels: Of training runs, by id: those of one label are seeds of one way to train. Without a label, runs belong
            together whose recipes differ in the seed alone.
        results: Results that environments have of their own about these runs, by id, where the caller has them already.

    Returns:
        The path.

    Raises:
        UsageError: Without runs, or for an unknown one.
        StoreError: If the store cannot be read, or the file cannot be written.
    """
    path = Path(path)
    with contextlib.ExitStack() as stack:
        kept = store if isinstance(store, RunStore) else stack.enter_context(RunStore(store, read_only=True))
        text = render_report(runs, store=kept, title=title, limits=limits, labels=labels, results=results, folder=path.parent)
    return write_page(path, text)


def render_report(
    runs: Sequence[str],
    *,
    store: RunStore,
    title: str = "",
    limits: TranscriptLimits | None = None,
    labels: Mapping[str, str] | None = None,
    results: Mapping[str, EnvResults] | None = None,
    folder: Path | None = None,
) -> str:
    """Return the page that `write_report` writes, to lie in `folder` if it is to link to files."""
    context = report_context(runs, store=store, title=title, limits=limits, labels=labels, results=results, folder=folder)
    return page_template().render(context)


def report_context(
    runs: Sequence[str],
    *,
    store: RunStore,
    title: str = "",
    limits: TranscriptLimits | None = None,
    labels: Mapping[str, str] | None = None,
    results: Mapping[str, EnvResults] | None = None,
    folder: Path | None = None,
) -> dict[str, Any]:
    """Return the values that the template of a report shows; arguments as those of `render_report`."""
    if not runs:
        raise UsageError("A report needs at least one run; name run ids, e.g. from: palaestra runs list.")
    summaries = with_arms(store, runs)
    arms = arms_of([PlayedRun(run.run_id, run.config, store.episodes(run.run_id)) for run in summaries], store.get)
    metrics = metrics_of_arms(arms)
    own = env_results([row.arm for row in arms]) if results is None else results
    limits = limits or TranscriptLimits()
    media = ShownMedia(store.media, limits.max_item_bytes, limits.max_media_bytes, folder)
    book = TranscriptBook(limits, own, media)
    book.fill(candidates_of(arms), lambda candidate: store.get(candidate.run_id, candidate.episode_id))
    logs = [store.metrics(run.run_id) for run in summaries]
    seeds = _across_seeds(store, summaries, logs, labels)
    script = (_HERE / "report.js").read_text(encoding="utf-8")
    floors = floors_of(arms)
    return {
        "version": version("palaestra"),
        "title": title or _title(summaries, arms),
        "kind": "training report" if any(is_training(run) for run in summaries) else "evaluation report",
        "lede": _lede(summaries, arms, title or _title(summaries, arms)),
        "css": Markup((_HERE / "report.css").read_text(encoding="utf-8")),
        "script": Markup(script),
        "script_hash": Markup(digest(script)),
        "cards": _cards(arms, floors),
        "notices": _notices(summaries, arms) + alarm_notices(list(zip(summaries, logs, strict=True))),
        "arms": arms,
        "floors": floors,
        "floor_notes": list(dict.fromkeys(one.told for one in floors)),
        "train_cpu": _train_cpu(summaries),
        "cluster_notes": _cluster_notes(summaries),
        "totals": totals_tables(summaries, store),
        "lead_metrics": [metric for metric in metrics if metric.lead],
        "metrics": metrics_table(arms, metrics),
        "own_tables": [table for found in own.values() for table in found.tables],
        "types": by_type(arms),
        "samples": max((arm.summary.samples for arm in arms), default=0),
        "reasons": [r for r in _all_endings(arms) if any(arm.endings[r] for arm in arms)],
        "errors": error_rows(arms),
        "transcripts": Markup(book.script([(arm.name, arm.run_id) for arm in arms])) if book.episodes else "",
        "transcript_types": book.types,
        "transcripts_note": _transcripts_note(book),
        "shows_media": bool(media.items),
        "runs": [_settings(run) for run in summaries],
        **_learning(summaries, logs, draws=not seeds["groups"]),
        "seeds": seeds,
    }


@lru_cache(maxsize=1)
def page_template() -> jinja2.Template:
    """Return the compiled template of a page; it takes a tenth of a second, which a command may spend while it waits."""
    return page_environment().get_template("template.html")


# -- headline ---------------------------------------------------------------------------------------------------------


def _title(runs: Sequence[RunSummary], arms: Sequence[ArmSummary]) -> str:
    """Name what was played."""
    training = [run for run in runs if is_training(run)]
    if len(training) == 1 and training[0].config.get("name"):
        return str(training[0].config["name"]).replace("_", " ")
    envs = sorted({env_id for arm in arms for env_id in arm.env_ids})
    return " and ".join(envs) if envs else ", ".join(run.run_id for run in runs)


def _lede(runs: Sequence[RunSummary], arms: Sequence[ArmSummary], title: str) -> str:
    """Say in one line what the report is about, beside its title."""
    envs = ", ".join(sorted({env_id for arm in arms for env_id in arm.env_ids}))
    parts = [envs if envs not in title else ""]
    splits = sorted({split for arm in arms for split in arm.splits if split})
    if splits:
        parts.append(f"split {', '.join(splits)}")
    if len(arms) > 1:
        parts.append(f"{len(arms)} arms")
    episodes = sum(len(arm.episodes) for arm in arms)
    parts.append(f"{episodes:,} episode{'' if episodes == 1 else 's'}")
    started = min(run.created_s for run in runs)
    parts.append(time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(started)))
    return " · ".join(part for part in parts if part)


def _cards(arms: Sequence[ArmSummary], floors: Sequence[AboveFloor]) -> list[_Card]:
    """Return the headline figures: of the only arm, or of the best one and all together."""
    scored = [arm for arm in arms if arm.success is not None]
    if not arms:
        return []
    cards: list[_Card] = []
    if scored:
        # the expert sets the upper bound; it is no contender unless it is alone
        contenders = [arm for arm in scored if arm.agent != "expert"] or scored
        best = max(contenders, key=lambda arm: arm.success.mean if arm.success else 0.0)
        assert best.success is not None
        assert best.score is not None
        who = f" · {best.name}" if len(arms) > 1 else ""
        label = "Best success" if len(contenders) > 1 else "Success"
        cards.append(_Card(label + who, percent(best.success.mean), f"95 %: {percent_range(best.success)}"))
        free = floors[arms.index(best)]
        if free.floor is not None:
            note = f"95 %: {points_range(free.above)}; floor {percent(free.floor.success or 0.0)}"
            cards.append(_Card("Above floor" + who, points(free.above), note))
        cards.append(_Card("Score" + who, figure(best.score.mean), f"95 %: {ends(best.score)}"))
    episodes, errors = sum(len(arm.episodes) for arm in arms), sum(arm.num_errors for arm in arms)
    turns = sum(e.num_turns for arm in arms for e in arm.episodes)
    cards.append(_Card("Episodes", f"{episodes:,}", f"{turns:,} turns"))
    cards.append(_Card("Errors", f"{errors:,}", "none lost, none scored" if errors else "every episode was scored"))
    written, read = sum(arm.usage.completion_tokens for arm in arms), sum(arm.usage.prompt_tokens for arm in arms)
    if written or read:
        cards.append(_Card("Tokens written", short_count(written), f"{short_count(read)} read"))
    cost = sum(arm.usage.cost for arm in arms)
    if cost:
        cards.append(_Card("Cost", f"{cost:,.2f}", "in the price table's currency"))
    return cards


def _notices(runs: Sequence[RunSummary], arms: Sequence[ArmSummary]) -> list[str]:
    """Say what a reader must know before reading the numbers."""
    notices = []
    for run in runs:
        if run.status in ("running", "created"):
            caveat = run.caveat or "its numbers are those so far."
            planned = "" if run.planned is None else f" ({run.planned})"
            notices.append(f"Run {run.run_id} was not finished when this page was written{planned}; {caveat}")
        elif run.status in ("decided", "stopped", "failed", "interrupted"):
            notices.append(f"Run {run.run_id} {run.status}{': ' + run.note.rstrip('.') if run.note else ''}; {run.caveat}")
        notices += [text for one in run.config.get("training_data") or () if (text := str(one.get("notice") or ""))]
    if not arms:
        notices.append("No episode has been stored yet.")
    return notices + unshared_tasks(arms)


def _train_cpu(runs: Sequence[RunSummary]) -> dict[str, float]:
    """Return the CPU seconds that the policies of trained arms have cost, by the run of the arm."""
    noted = [(run, run.config.get("train_cpu_s") or {}) for run in runs if is_training(run)]
    return {f"{run.run_id}-{arm}": float(seconds) for run, found in noted for arm, seconds in found.items()}


def _cluster_notes(runs: Sequence[RunSummary]) -> list[str]:
    """Say which tasks count as one cluster in the intervals, once for each way."""
    found = [clusters for run in runs if (clusters := run.config.get("clusters"))]
    counts = dict.fromkeys((str(one["by"]), len(one["of"]), len(set(one["of"].values()))) for one in found)
    return [f"Tasks with the same {by} are one cluster in every interval: {n:,} tasks, {k:,} clusters." for by, n, k in counts]


def _transcripts_note(book: TranscriptBook) -> str:
    """Say whether all episodes are embedded."""
    shown = len(book.episodes)
    linked = ""
    if book.media is not None and book.media.num_linked:
        linked = (
            f" Sounds and pictures that are too large for this file ({book.media.num_linked:,}) are links to the run's folder."
        )
    if not book.num_left_out:
        return (f"All {shown:,} episodes, turn by turn." if shown != 1 else "The episode, turn by turn.") + linked
    return (
        f"{shown:,} of {shown + book.num_left_out:,} episodes, spread over arms, outcomes and task types to bound the size of"
        f" this file. The run store holds all of them (palaestra export).{linked}"
    )


def _all_endings(arms: Sequence[ArmSummary]) -> list[str]:
    """Return the stop reasons in a fixed order, unknown ones at the end."""
    found = {reason for arm in arms for reason in arm.endings}
    return [*_KNOWN_ENDINGS, *sorted(found - set(_KNOWN_ENDINGS))]


# -- learning ---------------------------------------------------------------------------------------------------------


def _across_seeds(
    store: RunStore,
    runs: Sequence[RunSummary],
    logs: Sequence[Sequence[Mapping[str, Json]]],
    labels: Mapping[str, str] | None,
) -> dict[str, Any]:
    """Return the comparison of training runs; without groups where there are not at least two runs."""
    trained = []
    for run, log in zip(runs, logs, strict=True):
        if is_training(run):
            known = {other.run_id for other in runs}
            final = {name: store.episodes(name) for name in final_runs(run) if name in known}
            trained.append(Trained(run, final, log))
    if len(trained) < 2 and not labels:
        return {"groups": [], "metrics": [], "differences": [], "curves": [], "legend": [], "notice": ""}
    comparison = compare_runs(trained, labels)
    drawn, notice = [], ""
    try:
        for name in curve_names(comparison):
            curves = comparison.curves(name)
            share = _is_share(name, [Curve(c.run, c.steps, c.values) for c in curves])
            if not curves or not _is_worth_drawing(name, curves):
                continue
            svg = draw_curves(curves, label=f"{name} by training step, mean over seeds", share=share)
            drawn.append({"name": name.replace("_", " "), "svg": Markup(svg)})
    except MissingExtraError as error:
        notice = f"The curves are not drawn: {error}"
    return {
        "groups": comparison.groups,
        "measures": comparison.measures,
        "metrics": comparison.metrics,
        "differences": comparison.differences,
        "curves": drawn,
        "legend": [
            {"name": group.label, "colour": style.colour, "dashes": style.dashes}
            for i, group in enumerate(comparison.groups)
            for style in [LINE_STYLES[i % len(LINE_STYLES)]]
        ],
        "notice": notice,
    }


def _learning(
    runs: Sequence[RunSummary], logs: Sequence[Sequence[Mapping[str, Json]]], *, draws: bool = True
) -> dict[str, Any]:
    """Return the curves of single runs, or why there are none to see; without drawings only their values."""
    curves = read_curves(logs)
    empty: dict[str, Any] = {
        "curves": [],
        "more_curves": [],
        "curves_notice": "",
        "legend": [],
        "horizon": "",
        "metric_rows": [],
    }
    if not curves:
        return empty
    marks = horizon_changes(curves)
    names = sorted(curves, key=metric_rank)
    drawn, notice = [], ""
    try:
        for name in [name for name in names if draws and _is_worth_drawing(name, curves[name])][:_MAX_CURVES]:
            stairs = name.rpartition("/")[2] in HORIZON_NAMES
            phase_marks = [(step, turns) for phase, step, turns in marks if name.startswith(f"{phase}/") and not stairs]
            svg = draw_curves(
                curves[name],
                label=f"{name} by training step",
                marks=phase_marks,
                share=_is_share(name, curves[name]),
                stairs=stairs,
            )
            last = ", ".join(figure(curve.values[-1]) for curve in curves[name])
            drawn.append({"name": name.replace("_", " "), "svg": Markup(svg), "last": last})
    except MissingExtraError as error:
        notice = f"The curves are not drawn: {error} The table below holds their values."
    shown = {curve.run for found in curves.values() for curve in found}
    return {
        **empty,
        "curves": drawn[:_NUM_LEAD],
        "more_curves": drawn[_NUM_LEAD:],
        "curves_notice": notice,
        "legend": [
            {"name": str(run.config.get("name") or run.run_id), "colour": style.colour, "dashes": style.dashes}
            for i, run in enumerate(runs)
            if draws and i in shown
            for style in [LINE_STYLES[i % len(LINE_STYLES)]]
        ],
        "horizon": ", ".join(f"{horizon} turns from step {step:g}" for _, step, horizon in marks),
        "metric_rows": [_metric_row(name, runs[curve.run], curve) for name in names for curve in curves[name]],
    }


def _is_worth_drawing(name: str, curves: Sequence[Curve]) -> bool:
    """Whether there is anything to see: a value that changes, or the success that everyone looks for."""
    return name.rpartition("/")[2].partition(".")[0] in ("test_success", "success") or any(
        len(set(curve.values)) > 1 for curve in curves
    )


def _is_share(name: str, curves: Sequence[Curve]) -> bool:
    """Whether a metric is a rate between 0 and 1."""
    short = name.rpartition("/")[2].partition(".")[0]
    named = short.removeprefix("test_") in (
        "success",
        "invalid_actions",
        "likely_tokens",
        "truncated_rounds",
        "truncated_tokens",
    )
    return (named or short.removeprefix("test_").startswith("pass_at_")) and all(
        0 <= value <= 1 for curve in curves for value in curve.values
    )


def _metric_row(name: str, run: RunSummary, curve: Curve) -> dict[str, Any]:
    """Return the first, extreme and last values of one curve."""
    values = curve.values
    return {
        "metric": name,
        "run": run.run_id,
        "first": values[0],
        "lowest": min(values),
        "highest": max(values),
        "last": values[-1],
        "points": len(values),
    }


# -- settings ---------------------------------------------------------------------------------------------------------


def _settings(run: RunSummary) -> dict[str, Any]:
    """Return the configuration of a run as dotted keys and values."""
    flat: list[tuple[str, str]] = []

    def walk(prefix: str, value: Json) -> None:
        if isinstance(value, Mapping) and value:
            for key in value:
                walk(f"{prefix}.{key}" if prefix else str(key), value[key])
        else:
            flat.append((prefix, value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)))

    walk("", briefly(run.config))
    seconds = max(0.0, run.updated_s - run.created_s)
    note = f"{run.status} · {run.num_episodes:,} episodes · {duration(seconds)} from first to last change"
    return {"name": run.run_id, "note": note, "settings": flat}


__all__ = ["render_report", "report_context", "write_report"]
