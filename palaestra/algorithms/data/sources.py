"""Episodes that were played before: those of a stored run, or of a file in any form that is exported.

Both are read one by one and no further than is asked for, so that a file of a million lines costs what is used of it.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import TypeVar

from palaestra.agents.export.origins import Origin
from palaestra.agents.export.reading import BadRecordWarning, OnBad, load_episodes
from palaestra.agents.store.store import RunStore
from palaestra.errors import ConfigError, UsageError
from palaestra.types import Trajectory

log = logging.getLogger(__name__)

_RUN = "run:"
_MAX_WARNINGS = 20  # of one file; the rest is counted
_T = TypeVar("_T")


@dataclass(slots=True)
class LeftOut:
    """What was read of a file and is not learned from.

    Attributes:
        num_left_out: Episodes that did not succeed, or that an error ended.
        num_bad: Records that cannot be read.
        first_bad: What is wrong with the first of these, and where it stands.
    """

    num_left_out: int = 0
    num_bad: int = 0
    first_bad: str = ""
    _told: list[str] = field(default_factory=list, repr=False)

    def bad(self, text: str) -> None:
        """Count a record that cannot be read."""
        self.num_bad += 1
        self.first_bad = self.first_bad or text
        if self.num_bad <= _MAX_WARNINGS:
            self._told.append(text)

    def warn(self) -> None:
        """Warn of the records that cannot be read, up to 20 one by one."""
        for text in self._told:
            warnings.warn(f"{text} It is left out; the others are read.", BadRecordWarning, stacklevel=4)
        if self.num_bad > len(self._told):
            more = self.num_bad - len(self._told)
            warnings.warn(f"{more:,} more records cannot be read.", BadRecordWarning, stacklevel=4)


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

    def episodes(self, store: RunStore | None, left_out: LeftOut | None = None) -> list[Trajectory]:
        """Return the episodes.

        Args:
            store: Where runs are.
            left_out: Is told of what was read and is not learned from; it is warned about all the same.

        Raises:
            ConfigError: If the source is a run, and there is no store.
            UsageError: If there is no such source, or it holds nothing to learn from.
        """
        seen = LeftOut() if left_out is None else left_out
        found = self._some(list(islice(self._wanted(store, seen, on_bad=seen.bad), self.most)), seen)
        seen.warn()
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
            seen = LeftOut()
            wanted = self._wanted(store, seen, on_bad=seen.bad)
            return self._some([Origin.of(one) for one in islice(wanted, self.most)], seen)
        rows = (row for row in store.episodes(self.run_id) if row.success or (self.failures and not row.error_boundary))
        return self._some([Origin(row.env_id, row.split, row.task_key) for row in islice(rows, self.most)], LeftOut())

    def _wanted(self, store: RunStore | None, seen: LeftOut, on_bad: OnBad | None = None) -> Iterator[Trajectory]:
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

    def _wanted_of_file(self, seen: LeftOut, on_bad: OnBad | None) -> Iterator[Trajectory]:
        """Yield the episodes of a file, without those that say that they are no success; a whole trajectory may not say."""
        for episode in load_episodes(Path(self.source), on_bad=on_bad):
            if episode.outcome.error is None and (self.failures or episode.outcome.success is not False):
                yield episode
            else:
                seen.num_left_out += 1

    def _some(self, found: list[_T], seen: LeftOut) -> list[_T]:
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


__all__ = ["LeftOut", "Recorded"]
