"""Values and keys that were renamed, as stored runs, snapshots and recipes still hold them, and their names of today.

This is the only place that knows them. They are read wherever something stored comes in: arguments of the environment, data of
a world, and what the infos of a stored episode say about requests.
"""

from __future__ import annotations

_FORMER_NAMES = {
    "paper": "published",  # a profile
    "turns": "requests",  # a way to reward
    "turn_result": "request_result",  # of an info
    "turn_success": "request_success",  # of its scores
}


def current_name(name: str) -> str:
    """Return the name of today for a value or a key; one that was never renamed is its own name."""
    return _FORMER_NAMES.get(name, name)
