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
        failures: Take what a run did not solve as well; episodes that an error ended never are.
    """

    source: str
    most: int
    failures: bool = False

    @property
    def run_id(self) -> str:
        """The run; empty for a file."""
        return self.source.removeprefix(_RUN) if self.source.startswith(_RUN) else ""

    def episodes(self, store: RunStore | None) -> list[Trajectory]:
        """Return the episodes.

        Args:
            store: Where runs are.

        Raises:
            ConfigError: If the source is a run, and there is no store.
            UsageError: If there is no such source, or it holds nothing to learn from.
        """
        return self._some(list(islice(self._wanted(store), self.most)))

    def origins(self, store: RunStore) -> list[Origin]:
        """Return where the episodes were played; those of a run are read from its index.

        Args:
            store: Where runs are.

        Raises:
            UsageError: If there is no such source, or it holds nothing to learn from.
        """
        if not self.run_id:
            return self._some([Origin.of(one) for one in islice(self._wanted(store, on_bad=lambda text: None), self.most)])
        rows = (row for row in store.episodes(self.run_id) if row.success or (self.failures and not row.error_boundary))
        return self._some([Origin(row.env_id, row.split, row.task_key) for row in islice(rows, self.most)])

    def _wanted(self, store: RunStore | None, on_bad: OnBad | None = None) -> Iterator[Trajectory]:
        """Yield what is fit to learn from."""
        if not self.run_id:
            return (one for one in load_episodes(Path(self.source), on_bad=on_bad) if one.outcome.error is None)
        if store is None:
            raise ConfigError(f"Episodes come from {self.source!r}, but there is no run store to read it from.")
        if cut_off := store.run(self.run_id).cut_off:
            log.warning("Learning from episodes that may not be typical: %s", cut_off)
        failures = self.failures
        found = store.trajectories(self.run_id)
        return (one for one in found if one.outcome.success or (failures and one.outcome.error is None))

    def _some(self, found: list[_T]) -> list[_T]:
        """Return what was found, or refuse a source that holds nothing to learn from."""
        if found:
            return found
        if not self.run_id:
            raise UsageError(f"The file {self.source!r} holds no episode; there is nothing to clone.")
        kind = "episode without an error" if self.failures else "successful episode"
        raise UsageError(f"Run {self.run_id!r} holds no {kind}; there is nothing to clone.")


__all__ = ["Recorded"]
