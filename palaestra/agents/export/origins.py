"""Where an episode was played: environment, split and task, as records carry it in every form that is exported."""

from __future__ import annotations

from dataclasses import dataclass

from palaestra.types import Json, Trajectory

FIELDS = ("env_id", "split", "task_key")
"""Names of the fields of a record."""


@dataclass(frozen=True, slots=True)
class Origin:
    """Where an episode was played; empty texts stand for what is not known.

    Attributes:
        env_id: Id of the environment.
        split: Split of the task.
        task_key: Key of the task.
    """

    env_id: str = ""
    split: str = ""
    task_key: str = ""

    @classmethod
    def of(cls, trajectory: Trajectory) -> Origin:
        """Return where an episode was played."""
        return cls(trajectory.env_id, *(str(trajectory.task.get(name) or "") for name in ("split", "key")))

    def to_json(self) -> dict[str, Json]:
        """Return the fields of a record, without those that are not known."""
        return {name: value for name in FIELDS if (value := getattr(self, name))}


UNKNOWN = Origin()

__all__ = ["FIELDS", "UNKNOWN", "Origin"]
