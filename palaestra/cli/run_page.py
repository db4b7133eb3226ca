"""What `palaestra runs show` says about a stored run: settings, results, and of a training run its phases and curves."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from palaestra.types import Json

if TYPE_CHECKING:
    from palaestra.agents.evaluation.arms import ArmSummary
    from palaestra.agents.store.records import EpisodeSummary, RunSummary
    from palaestra.agents.store.store import RunStore
    from palaestra.media import FolderMedia
    from palaestra.results.tables import EnvResults, ResultTable

_MOST_EPISODES = 20
_MOST_CURVES = 12
_MOST_FILES = 200


@dataclass(frozen=True)
class RunPage:
    """What there is to say about a run.

    Attributes:
        run: The run.
        evaluations: Of a training run: the runs that evaluate its arms.
        episodes: The run's own episodes.
        arms: Results by arm; of a training run those of its evaluations.
        own: What the environments report of their own.
        tables: Of a training run: phases, totals of a mixture, curves.
        folder: Its files.
        files: Their names, relative to the folder.
        media: Its sounds and pictures.
    """

    run: RunSummary
    evaluations: Sequence[RunSummary]
    episodes: Sequence[EpisodeSummary]
    arms: Sequence[ArmSummary]
    own: Mapping[str, EnvResults]
    tables: Sequence[ResultTable]
    folder: Path
    files: Sequence[str]
    media: FolderMedia

    def to_json(self) -> dict[str, Json]:
        """Return a plain dict; what only some runs have is left out where there is none."""
        data = {**self.run.to_json(), "results": {arm.name: arm.summary.to_json() for arm in self.arms}}
        if self.evaluations:
            data["evaluations"] = [run.run_id for run in self.evaluations]
        if self.tables:
            data["tables"] = [table.to_json() for table in self.tables]
        if self.own:
            data["env_results"] = {env_id: found.to_json() for env_id, found in self.own.items()}
        data |= {"folder": str(self.folder.resolve()), "files": list(self.files)}
        if len(self.media):
            data["media"] = {"files": len(self.media), "bytes": self.media.num_bytes}
        return data


def read_page(store: RunStore, run_id: str) -> RunPage:
    """Read a run and what belongs to it.

    Raises:
        UnknownNameError: If there is none of that name.
    """
    from palaestra.agents.evaluation.arms import PlayedRun, arms_of, env_results, is_training, with_arms

    run, *evaluations = with_arms(store, [run_id])
    arms = arms_of([PlayedRun(one.run_id, one.config, store.episodes(one.run_id)) for one in (run, *evaluations)], store.get)
    folder, media = store.folder_of(run_id), store.media(run_id)
    found = (path for path in folder.rglob("*") if path.is_file() and path.parent != media.folder) if folder.is_dir() else ()
    return RunPage(
        run,
        evaluations,
        store.episodes(run_id),
        arms,
        env_results([row.arm for row in arms]),
        _training_tables(store, run, evaluations) if is_training(run) else (),
        folder,
        sorted(str(path.relative_to(folder)) for path in found)[:_MOST_FILES],
        media,
    )


def _training_tables(store: RunStore, run: RunSummary, evaluations: Sequence[RunSummary]) -> list[ResultTable]:
    """Return the phases of a training run, the totals of a mixture, and its curves in figures."""
    from palaestra.agents.report.breakdowns import curves_table, phases_table, totals_tables

    log = store.metrics(run.run_id)
    tables = [phases_table(run, log), *totals_tables([run, *evaluations], store), curves_table(log, most=_MOST_CURVES)]
    return [table for table in tables if table.rows]


def print_page(page: RunPage) -> None:
    """Print a page for people: the recipe of a training run comes after what it gave."""
    from palaestra.agents.evaluation.resuming import briefly
    from palaestra.cli.output import console
    from palaestra.cli.results import env_tables, print_results

    out = console()
    run = page.run
    out.print(f"{run.run_id}  {run.status}{': ' + run.note if run.note else ''}", style="bold", soft_wrap=True)
    if run.caveat and (page.arms or run.num_episodes):
        out.print(f"Not finished: {run.caveat}", style="red", soft_wrap=True)
    for one in page.evaluations:
        if one.caveat:
            out.print(
                f"{one.run_id} {one.status}{': ' + one.note.rstrip('.') if one.note else ''}; {one.caveat}",
                style="red",
                soft_wrap=True,
            )
    recipe = run.config.get("recipe")
    for key, value in briefly(run.config).items():
        if key != "recipe" or not isinstance(recipe, Mapping):
            out.print(f"  {key} = {value}", soft_wrap=True)
    if page.arms:
        print_results(out, page.arms, page.own)
    for part in env_tables(page.tables):
        out.print(part)
    if page.episodes:
        out.print(_last_episodes(page.episodes))
    if isinstance(recipe, Mapping):
        out.print("Recipe", style="bold")
        for line in settings_lines(recipe):
            out.print(f"  {line}".rstrip(), soft_wrap=True)
        out.print()
    if page.evaluations:
        out.print(f"Evaluations, runs of their own: {', '.join(one.run_id for one in page.evaluations)}", soft_wrap=True)
    if page.files:
        shown = f"{', '.join(page.files[:12])}{' ...' if len(page.files) > 12 else ''}"
        out.print(f"Files in {page.folder.resolve()}: {shown}", soft_wrap=True)
    if num := len(page.media):
        size = page.media.num_bytes
        shown = f"{size / 1e6:,.1f} MB" if size >= 100_000 else f"{size / 1e3:,.1f} kB"
        out.print(f"{num:,} sounds and pictures ({shown}) in {page.media.folder.resolve()}", soft_wrap=True)


def _last_episodes(episodes: Sequence[EpisodeSummary]) -> Any:
    """Return a table of the episodes that were stored last."""
    from palaestra.cli.output import table

    numbers = ("Score", "Turns")
    title = f"Last {min(_MOST_EPISODES, len(episodes))} episodes"
    grid = table(title, "Episode", "Type", "Outcome", *numbers, numbers=numbers)
    for e in episodes[-_MOST_EPISODES:]:
        outcome = f"{e.error_boundary} error: {e.error_message}" if e.error_boundary else e.stop_reason
        grid.add_row(e.episode_id, e.task_type, outcome, "-" if e.score is None else f"{e.score:g}", str(e.num_turns))
    return grid


def settings_lines(settings: Mapping[str, Json], name: str = "") -> Iterator[str]:
    """Yield the lines of nested settings as TOML writes them: plain keys, then a table for each group.

    Args:
        settings: Plain data, e.g. a stored recipe.
        name: Dotted name of the table that these settings are.
    """
    tables: dict[str, list[Mapping[str, Json]]] = {}
    for key, value in settings.items():
        if isinstance(value, Mapping):
            tables[key] = [value]
        elif isinstance(value, list) and value and all(isinstance(item, Mapping) for item in value):
            tables[key] = value
        else:
            yield f"{key} = {json.dumps(value, ensure_ascii=False)}"
    for key, members in tables.items():
        dotted = f"{name}.{key}" if name else key
        for member in members:
            yield ""
            yield f"[[{dotted}]]" if isinstance(settings[key], list) else f"[{dotted}]"
            yield from settings_lines(member, dotted)


__all__ = ["RunPage", "print_page", "read_page", "settings_lines"]
