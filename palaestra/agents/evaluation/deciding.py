"""Evaluation until it is decided: tasks are played until an agent is known to be better than a stored run, or not to be.

Tasks come in an order that is drawn before the first is played, and the comparison takes them in this order, each when all its
samples are there, whatever ended first. What is decided therefore follows from the episodes alone: not from how many are
played at once, nor from a process that was killed in between.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass

from palaestra.agents.rollout.plans import EpisodePlan
from palaestra.agents.store.records import EpisodeSummary, Planned
from palaestra.agents.store.store import RunStore
from palaestra.errors import UnknownNameError, UsageError
from palaestra.results.statistics import PairedDifference
from palaestra.results.statistics.sequential import Decision, SequentialComparison
from palaestra.types import Json, plain

KEY = "until_decided"
"""Where the settings of a run say that it is played until decided, and against which run."""

_SAME = (
    "kind",
    "envs",
    "split",
    "samples",
    "seed",
    "max_turns",
    "seats",
    "seat_settings",
    "make_env",
    "wrappers",
    "record_version",
    "tasks",
)
_SHOWN = 120  # characters of a value in a message


@dataclass(frozen=True, slots=True)
class UntilDecided:
    """Play until a comparison with a stored run is decided.

    Attributes:
        against: The other run, in the same store: finished, on the same tasks with the same settings.
        difference: Smallest difference of success that matters, above 0 and below 1; the comparison is tuned to it.
        alpha: Chance of deciding for either agent where there is no difference.
        power: Chance not to decide "not better" where the difference is that large.
    """

    against: str
    difference: float = 0.05
    alpha: float = 0.05
    power: float = 0.9

    def to_json(self) -> dict[str, Json]:
        """Return a plain dict."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Json]) -> UntilDecided:
        """Rebuild from `to_json`, or from what the settings of a run hold."""
        return cls(data["against"], data["difference"], data["alpha"], data["power"])

    def test(self) -> SequentialComparison:
        """Return a comparison that has seen nothing.

        Raises:
            ConfigError: If a number is out of its range.
        """
        return SequentialComparison(self.difference, alpha=self.alpha, power=self.power)


class Deciding:
    """Takes the episodes of a run in any order, and the tasks in theirs, until it is decided.

    Args:
        until: What is to be decided.
        tasks: Names of all episodes that may be played, by task, in the order in which tasks count.
        rival: Episodes of the other run.
        played: Episodes that the run has already.
    """

    def __init__(
        self,
        until: UntilDecided,
        tasks: Mapping[str, Sequence[str]],
        rival: Iterable[EpisodeSummary],
        played: Iterable[EpisodeSummary] = (),
    ) -> None:
        """Look at what was played."""
        self.until, self.test = until, until.test()
        self.num_tasks = 0
        """Tasks that are complete, those that an error took included, as far as none before them is missing."""
        self._tasks = tasks
        self._order = list(tasks)
        self._rival = {one.episode_id: one for one in rival}
        self._own: dict[str, EpisodeSummary] = {one.episode_id: one for one in played}
        self._look()

    @property
    def decision(self) -> Decision:
        """What was decided; empty so far."""
        return self.test.decision

    def add(self, episode: EpisodeSummary) -> Decision:
        """Take in an episode; return the decision, which stays once it is made."""
        self._own[episode.episode_id] = episode
        self._look()
        return self.decision

    def difference(self) -> PairedDifference:
        """Return the mean difference, first this run, with interval and p-value that hold at whatever moment one looks."""
        found = self.test.interval()
        return PairedDifference(found.mean, found.low, found.high, found.n, self.test.p_value)

    @property
    def told(self) -> str:
        """What was decided, in words; of a run that is not decided, that it is not."""
        found = self.difference()
        by = f" by {self.until.difference:g}" if self.decision == "not better" else ""
        said = f"{self.decision}{by} than" if self.decision else "undecided against"
        ends = f"{100 * found.low:+.1f} to {100 * found.high:+.1f}"
        shown = f"{100 * found.mean:+.1f} points ({ends}, an interval that holds at any stop)" if found.n else "not known"
        return f"{said} run {self.until.against!r} after {found.n:,} tasks; difference {shown}"

    def note(self, num_done: int, num_planned: int) -> str:
        """Return the note of the run: what was decided, and how much of the plan it took."""
        return f"{self.told} ({Planned(num_done, num_planned)})"

    def to_json(self) -> dict[str, Json]:
        """Return a plain dict; `decision` is None where nothing was decided."""
        return {
            **self.until.to_json(),
            "decision": self.decision or None,
            "num_tasks": self.test.num_tasks,
            "result": self.difference().to_json(),
        }

    def _look(self) -> None:
        """Take in the tasks that are complete."""
        while not self.decision and self.num_tasks < len(self._order):
            ids = self._tasks[self._order[self.num_tasks]]
            if not all(episode_id in self._own for episode_id in ids):
                return
            self.num_tasks += 1
            own, other = (_rate(side, ids) for side in (self._own, self._rival))
            if own is not None and other is not None:
                self.test.add(own - other)


def in_drawn_order(plans: Sequence[EpisodePlan], seed: int) -> list[EpisodePlan]:
    """Return plans with their tasks in an order that follows from the seed; the samples of a task stay side by side.

    Splits may be sorted, by difficulty or type: their first tasks say nothing of the others. Of tasks in a drawn order the
    first are a sample of all.
    """
    return sorted(plans, key=lambda plan: _drawn(plan.group_id, seed))


def tasks_of(plans: Iterable[EpisodePlan]) -> dict[str, list[str]]:
    """Return the names of planned episodes by task, in the order of the plans."""
    tasks: dict[str, list[str]] = {}
    for plan in plans:
        tasks.setdefault(plan.group_id, []).append(plan.episode_id)
    return tasks


def _drawn(group_id: str, seed: int) -> tuple[bytes, str]:
    """Return where a task comes in the order of a seed."""
    return hashlib.blake2b(f"{seed}\0{group_id}".encode("utf-8", "surrogatepass")).digest(), group_id


def of_episodes(
    until: UntilDecided, seed: int, own: Iterable[EpisodeSummary], rival: Sequence[EpisodeSummary]
) -> PairedDifference:
    """Return the difference that a run which was played until decided had when it was, from the episodes of both runs.

    Args:
        until: What was to be decided.
        seed: Seed of the runs.
        own: Episodes of the run, first in the difference.
        rival: Episodes of the run that it was compared with: all that was planned.
    """
    tasks: dict[str, list[str]] = {}
    for one in sorted(rival, key=lambda one: (_drawn(one.group_id, seed), one.sample)):
        tasks.setdefault(one.group_id, []).append(one.episode_id)
    return Deciding(until, tasks, rival, own).difference()


def checked_rival(
    store: RunStore, until: UntilDecided, config: Mapping[str, Json], run_id: str | None
) -> list[EpisodeSummary]:
    """Return the episodes of the other run.

    Args:
        store: Where it is.
        until: Names it.
        config: Settings of the run that is to be played.
        run_id: Its name, if it has one.

    Raises:
        UsageError: If it cannot be compared with: it is not there, not finished, without a verdict, or was played on other
            tasks or with other settings; the message names them.
    """
    name = until.against
    if name == run_id:
        raise UsageError(f"Run {name!r} cannot be compared with itself; name another run of the store.")
    try:
        run = store.run(name)
    except UnknownNameError as error:
        raise UsageError(f"There is nothing to decide against: {error}") from error
    if run.status != "finished" or KEY in run.config:
        ended = "was itself played until decided" if KEY in run.config else f"is {run.status}"
        raise UsageError(
            f"Run {name!r} {ended}: what it played is not typical of all its tasks. Compare with a run that was played to the "
            f"end of its plan (resume one with: palaestra evaluate --run {name})."
        )
    other, this = plain(dict(run.config)), plain(dict(config))
    if different := list(_differences(other, this)):
        raise UsageError(
            f"Run {name!r} was played with other settings: {'; '.join(different)}. The comparison would be of these too: "
            f"play with those of {name!r}, or compare with another run."
        )
    episodes = store.episodes(name)
    if all(one.error_boundary for one in episodes):
        raise UsageError(
            f"No episode of run {name!r} was scored, all {len(episodes):,} ended in an error: there is nothing to compare "
            f"with. Play them again with: palaestra evaluate --run {name} --retry-errors"
        )
    return episodes


def recorded(until: UntilDecided, rival: Iterable[EpisodeSummary]) -> dict[str, Json]:
    """Return the entry for the record of a run: the settings of the decision, and a digest of the other run."""
    rows = sorted((one.episode_id, bool(one.error_boundary), bool(one.success)) for one in rival)
    digest = hashlib.blake2b(repr(rows).encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()
    return {**until.to_json(), "rival": digest}


def _differences(other: Mapping[str, Json], this: Mapping[str, Json]) -> Iterator[str]:
    """Yield in words what two runs do not have in common."""
    for key in _SAME:
        if other.get(key) == this.get(key):
            continue
        if key == "tasks" and other.get("envs") == this.get("envs"):
            counts = [", ".join(f"{one['count']:,}" for one in side.get(key) or ()) or "unknown" for side in (other, this)]
            yield f"its tasks are others ({counts[0]}, now {counts[1]})" if counts[0] != counts[1] else "its tasks are others"
        elif key != "tasks":
            yield f"{key} was {_short(other.get(key))}, now {_short(this.get(key))}"


def _rate(episodes: Mapping[str, EpisodeSummary], ids: Iterable[str]) -> float | None:
    """Return the share of the scored episodes of a task that were solved; None without any."""
    found = [episodes[one] for one in ids if one in episodes]
    scored = [float(bool(one.success)) for one in found if not one.error_boundary]
    return math.fsum(scored) / len(scored) if scored else None


def _short(value: object) -> str:
    """Return a value for a message."""
    text = repr(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."


__all__ = ["KEY", "Deciding", "UntilDecided", "checked_rival", "in_drawn_order", "of_episodes", "recorded", "tasks_of"]
