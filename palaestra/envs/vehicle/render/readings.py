"""Reading a car's state for people: switches as yes or no, quantities as shares of their range, records as titles.

Drawings must show any state, also one that the `published` profile or a careless write has left odd (a number stored as text,
a switch that is not a boolean); whatever cannot be read is shown as its text, and as zero where a number is drawn.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from palaestra.envs.vehicle.car.state import CarState, Record
from palaestra.envs.vehicle.car.tables import car_tables


class Readings:
    """What a state says, in the forms that drawings need.

    Args:
        state: The state of a car; read, never written.
        changed: Full paths of leaves that count as changed.
    """

    __slots__ = ("_changed", "_state", "_values")

    def __init__(self, state: CarState, changed: Iterable[str] = ()) -> None:
        """Keep the state."""
        self._state = state
        self._values = state.values
        self._changed = tuple(sorted(changed))

    def value(self, path: str) -> Any:
        """Return a scalar leaf, None where there is none."""
        return self._values.get(path)

    def has(self, path: str) -> bool:
        """Return whether there is a scalar leaf at this path."""
        return path in self._values

    def on(self, path: str) -> bool:
        """Return whether a switch is on; words such as "off" are not."""
        value = self._values.get(path)
        return bool(value) and value not in ("off", "OFF", "close", "closed", "CLOSED")

    def word(self, path: str) -> str:
        """Return a leaf as text; empty for null."""
        value = self._values.get(path)
        if value is None:
            return ""
        return figure(value) if isinstance(value, int | float) and not isinstance(value, bool) else str(value)

    def number(self, path: str) -> float:
        """Return a leaf as a finite number, 0 where it is none."""
        value = self._values.get(path)
        try:
            number = float(value) if isinstance(value, int | float | str) else 0.0
        except ValueError:
            return 0.0
        return number if math.isfinite(number) else 0.0

    def share(self, path: str) -> float:
        """Return where a quantity lies in its range, from 0 to 1, in whatever unit it is kept."""
        row = car_tables().properties[path]
        low, high = row.low, row.high
        if row.ranges:
            low, high = row.ranges.get(self.word(unit_path(path)), next(iter(row.ranges.values())))
        if low is None or high is None or high <= low:
            return 0.0
        return min(1.0, max(0.0, (self.number(path) - low) / (high - low)))

    def percent(self, path: str) -> str:
        """Return the share of a range as text, e.g. "40%"."""
        return f"{100 * self.share(path):.0f}%"

    def item(self, path: str) -> Record | None:
        """Return the record of a reference."""
        return self._state.item(path) if self._state.refs.get(path) is not None else None

    def items(self, path: str) -> list[Record]:
        """Return the records of a list."""
        return self._state.items(path) if path in self._state.lists else []

    @property
    def track(self) -> Record | None:
        """The current track of the music player."""
        playlist, index = self.items("music._current_playlist"), self.number("music._current_track_index")
        return playlist[int(index)] if 0 <= index < len(playlist) else None

    @property
    def changed(self) -> tuple[str, ...]:
        """Paths that count as changed, sorted."""
        return self._changed

    def is_changed(self, *paths: str) -> bool:
        """Return whether one of these leaves, or a leaf below one of them, counts as changed."""
        return any(change == path or change.startswith((f"{path}.", f"{path}[")) for change in self._changed for path in paths)


def unit_path(path: str) -> str:
    """Return the path of the unit in which a quantity is kept."""
    return f"{path.removesuffix('value')}unit" if path.endswith("value") else f"{path}_unit"


def figure(value: float) -> str:
    """Return a number with at most two decimals and no superfluous zeros."""
    if not math.isfinite(value):
        return str(value)
    return str(int(value)) if value == int(value) else f"{value:.2f}".rstrip("0")


def clock(timestamp: str, twelve_hours: bool) -> tuple[str, str]:
    """Return date and time of a timestamp "2025-04-13 12:00:00" as a cockpit shows them."""
    date, _, time = timestamp.partition(" ")
    hours, _, rest = time.partition(":")
    if not twelve_hours or not hours.isdigit():
        return date, time[:5]
    return date, f"{(int(hours) - 1) % 12 + 1}:{rest[:2]} {'am' if int(hours) < 12 else 'pm'}"
