"""Arms: the episodes of one agent in one run, summed up for the report's tables."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import takewhile
from typing import Any

from palaestra.agents.evaluation.summary import Summary, summarize
from palaestra.agents.report.transcripts import Candidate, outcome_of
from palaestra.agents.store.store import EpisodeSummary, RunSummary
from palaestra.results.statistics import Estimate
from palaestra.types import Usage


@dataclass(frozen=True)
class Arm:
    """One row of the report.

    Attributes:
        name: Shown; unique among the arms.
        agent: Name of the agent alone.
        run_id: Run that holds the episodes.
        episodes: Its episodes, in the order of their ids.
    """

    name: str
    agent: str
    run_id: str
    episodes: tuple[EpisodeSummary, ...]

    @cached_property
    def summary(self) -> Summary:
        """Rates, means and intervals."""
        return summarize(self.episodes)

    @property
    def num_errors(self) -> int:
        """Number of episodes that an error ended."""
        return self.summary.total.num_errors

    @property
    def num_scored(self) -> int:
        """Number of episodes without an error."""
        return len(self.episodes) - self.num_errors

    @property
    def success(self) -> Estimate | None:
        """Share of solved tasks; None if nothing was scored."""
        return self.summary.success if self.num_scored else None

    @property
    def score(self) -> Estimate | None:
        """Mean score; None if nothing was scored."""
        return self.summary.score if self.num_scored else None

    @property
    def turns(self) -> float:
        """Mean number of turns of the scored episodes; NaN without any."""
        return self.summary.total.mean_turns

    @cached_property
    def endings(self) -> Counter[str]:
        """Number of episodes by stop reason; errors by their boundary."""
        return Counter(f"{e.error_boundary}_error" if e.error_boundary else e.stop_reason or "unknown" for e in self.episodes)

    @property
    def usage(self) -> Usage:
        """What all episodes cost."""
        return self.summary.usage

    @property
    def env_ids(self) -> set[str]:
        """Environments that were played."""
        return {e.env_id for e in self.episodes}

    @property
    def splits(self) -> set[str]:
        """Splits that were played."""
        return {e.split for e in self.episodes}

    def of_type(self, task_type: str) -> Arm:
        """Return the part of this arm with tasks of one type."""
        return Arm(self.name, self.agent, self.run_id, tuple(e for e in self.episodes if e.task_type == task_type))

    def candidates(self, index: int) -> list[Candidate]:
        """Return the episodes as candidates for the transcript viewer."""
        return [
            Candidate(index, i, self.run_id, e.episode_id, e.task_type, outcome_of(e.success, bool(e.error_boundary)))
            for i, e in enumerate(self.episodes)
        ]


def arms_of(runs: Sequence[tuple[RunSummary, Sequence[EpisodeSummary]]]) -> list[Arm]:
    """Split runs into arms: one per run and agent, and per environment and split where a run holds several.

    Names say no more than is needed to tell the arms apart.
    """
    groups: dict[tuple[str, str, str, str], list[EpisodeSummary]] = {}
    for run, episodes in runs:
        for episode in episodes:
            groups.setdefault((run.run_id, episode.agent, episode.env_id, episode.split), []).append(episode)
    keys = list(groups)
    short = _short_names(sorted({key[0] for key in keys}))
    differing = [len({key[part] for key in keys}) > 1 for part in range(4)]
    arms = []
    for key in keys:
        run_id, agent, env_id, split = key
        name = agent or run_id
        for part, text in ((2, env_id), (3, split), (0, short[run_id].removeprefix(f"{agent}-"))):
            others = [other for other in keys if other != key and other[1] == agent]
            if differing[part] and any(other[part] != key[part] for other in others):
                name += f" · {text}"
        arms.append(Arm(name, agent, run_id, tuple(sorted(groups[key], key=_natural))))
    return arms


def _short_names(run_ids: Sequence[str]) -> dict[str, str]:
    """Return run ids without the parts that all begin with: "today-1-fc" beside "today-1-sfc" is "fc"."""
    parts = [run_id.split("-") for run_id in run_ids]
    shared = len(list(takewhile(lambda column: len(set(column)) == 1, zip(*parts, strict=False))))
    return {run_id: "-".join(split[shared:]) or run_id for run_id, split in zip(run_ids, parts, strict=True)}


def _natural(episode: EpisodeSummary) -> list[tuple[int, str]]:
    """Sort "test/2" before "test/10"."""
    parts = re.split(r"(\d+)", episode.episode_id)
    digits = [part.lstrip("0") for part in parts]
    return [(len(digits[i]), digits[i]) if i % 2 else (-1, part) for i, part in enumerate(parts)]


def by_type(arms: Sequence[Arm]) -> list[dict[str, Any]]:
    """Return every task type with its rows; empty if there are not at least two types."""
    types = sorted({episode.task_type for arm in arms for episode in arm.episodes})
    if len(types) < 2:
        return []
    table = []
    for task_type in types:
        parts = [arm.of_type(task_type) for arm in arms]
        table.append({"name": task_type, "rows": [part for part in parts if part.episodes]})
    return table


def error_rows(arms: Sequence[Arm]) -> list[dict[str, Any]]:
    """Return errors by boundary, arm and type, the most frequent first."""
    rows: dict[tuple[str, str, str], dict[str, Any]] = {}
    for arm in arms:
        for e in arm.episodes:
            if e.error_boundary:
                key = (e.error_boundary, arm.name, e.error_type)
                row = rows.setdefault(
                    key, {"boundary": key[0], "arm": key[1], "type": key[2], "count": 0, "message": e.error_message[:400]}
                )
                row["count"] += 1
    return sorted(rows.values(), key=lambda row: (-row["count"], row["boundary"], row["arm"], row["type"]))
