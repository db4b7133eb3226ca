"""Episodes that were played before: those of a stored run, or of a file in any form that is exported.

Both are read one by one and no further than is asked for, so that a file of a million lines costs what is used of it.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TypeVar

from palaestra.agents.export.origins import Origin
from palaestra.agents.export.reading import OnBad, load_episodes
from palaestra.agents.store.store import RunStore
from palaestra.errors import ConfigError, UsageError
from palaestra.types import Trajectory

log = logging.getLogger(__name__)

_RUN = "run:"
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Recorded:
    """Recorded episodes to learn from.

    Attributes:
        source: "run:ID", or the path of a file; of a data set the folder.
        most: How many are wanted, the first ones.
        failures: Take what was not solved as well; episodes that an error ended never are.
    """

    source: str
    most: int
    failures: bool = False

    @property
    def run_id(self) -> str:
        """The run; empty for a file."""
        return self.source.removeprefix(_RUN) if self.source.startswith(_RUN) else ""

    @property
    def _kind(self) -> str:
        """What is learned from, for messages."""
        return "episode without an error" if self.failures else "successful episode"

    def episodes(self, store: RunStore | None) -> list[Trajectory]:
        """Return the episodes.

        Args:
            store: Where runs are.

        Raises:
            ConfigError: If the source is a run, and there is no store.
            UsageError: If there is no such source, or it holds nothing to learn from.
        """
        seen = _Seen()
        found = self._some(list(islice(self._wanted(store, seen), self.most)), seen)
        if seen.num_left_out:
            text = "%s: %d of the episodes read are left out: %s is learned from."
            log.warning(text, self.source, seen.num_left_out, f"only a {self._kind}")
        return found

    def origins(self, store: RunStore) -> list[Origin]:
        """Return where the episodes were played; those of a run are read from its index.

        Args:
            store: Where runs are.

        Raises:
            UsageError: If there is no such source, or it holds nothing to learn from.
        """
        if not self.run_id:
            seen = _Seen()
            wanted = self._wanted(store, seen, on_bad=seen.bad)
            return self._some([Origin.of(one) for one in islice(wanted, self.most)], seen)
        rows = (row for row in store.episodes(self.run_id) if row.success or (self.failures and not row.error_boundary))
        return self._some([Origin(row.env_id, row.split, row.task_key) for row in islice(rows, self.most)], _Seen())

    def _wanted(self, store: RunStore | None, seen: _Seen, on_bad: OnBad | None = None) -> Iterator[Trajectory]:
        """Yield what is fit to learn from."""
        if not self.run_id:
            return self._wanted_of_file(seen, on_bad)
        if store is None:
            raise ConfigError(f"Episodes come from {self.source!r}, but there is no run store to read it from.")
        if cut_off := store.run(self.run_id).cut_off:
            log.warning("Learning from episodes that may not be typical: %s", cut_off)
        failures = self.failures
        found = store.trajectories(self.run_id)
        return (one for one in found if one.outcome.success or (failures and one.outcome.error is None))

    def _wanted_of_file(self, seen: _Seen, on_bad: OnBad | None) -> Iterator[Trajectory]:
        """Yield the episodes of a file, without those that say that they are no success; a whole trajectory may not say."""
        for episode in load_episodes(Path(self.source), on_bad=on_bad):
            if episode.outcome.error is None and (self.failures or episode.outcome.success is not False):
                yield episode
            else:
                seen.num_left_out += 1

    def _some(self, found: list[_T], seen: _Seen) -> list[_T]:
        """Return the episodes, or refuse a source that holds nothing to learn from."""
        if found:
            return found
        if self.run_id:
            raise UsageError(f"Run {self.run_id!r} holds no {self._kind}; there is nothing to clone.")
        if seen.first_bad and not seen.num_left_out:
            count = f" None of its {seen.num_bad:,} records can be read." if seen.num_bad > 1 else ""
            raise UsageError(seen.first_bad + count)
        kind = self._kind if seen.num_left_out else "episode"
        bad = f" ({seen.num_bad:,} records cannot be read; the first: {seen.first_bad})" if seen.first_bad else ""
        raise UsageError(f"The file {self.source!r} holds no {kind}{bad}; there is nothing to clone.")


@dataclass(slots=True)
class _Seen:
    """What was seen of a file apart from what is learned from."""

    num_left_out: int = 0
    num_bad: int = 0
    first_bad: str = ""

    def bad(self, text: str) -> None:
        """Count a record that cannot be read."""
        self.num_bad += 1
        self.first_bad = self.first_bad or text


__all__ = ["Recorded"]
