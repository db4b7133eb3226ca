"""Values that were renamed, as stored runs, snapshots and recipes still hold them, and their names of today.

This is the only place that knows them. They are read wherever a stored value comes in: arguments of the environment, data of a
world, results in the infos of a stored episode.
"""

from __future__ import annotations

_FORMER_NAMES = {
    "paper": "published",  # a profile
}


def current_name(name: str) -> str:
    """Return the name of today for a value; a value that was never renamed is its own name."""
    return _FORMER_NAMES.get(name, name)
