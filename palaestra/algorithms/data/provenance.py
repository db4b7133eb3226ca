"""Whether training episodes come from what a recipe may train on: no test tasks, no other environments.

An evaluation of a strong model plays test tasks by default; cloned, it would teach the very tasks that measure what was
learned. So every source of training episodes (a stored run, a file, an expert, plays of the policy) is held against the
environments of the recipe: by the split that an episode names, and by its task's key. An episode that does not say where it
was played is of unknown provenance, and counted as that; so is one whose split and key the environment does not have.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from palaestra.agents.export.origins import Origin
from palaestra.envs.core.tasks import TaskSet
from palaestra.errors import UsageError
from palaestra.types import Json

Allowed = Literal["test_tasks", "other_envs"]
"""Words of a recipe that let in what is refused otherwise."""

_SHOWN = 3  # names in a message


@dataclass(frozen=True)
class TrainedEnv:
    """An environment of a recipe, as far as it decides what may be trained on.

    Attributes:
        env_id: Registered id.
        test_split: Split on which the recipe evaluates.
        tasks: Gives its tasks, or None if it has no task set; called when a key or a split has to be looked up.
    """

    env_id: str
    test_split: str
    tasks: Callable[[], TaskSet | None] = lambda: None


@dataclass(frozen=True)
class Provenance:
    """Where the episodes of one source were played.

    Attributes:
        source: What the recipe calls it, e.g. "run:ID".
        num_episodes: Episodes that were looked at.
        num_test: Of these, on test tasks of the recipe's environments.
        num_other: In environments that the recipe does not have.
        num_unknown: Without a word on environment or split.
        test_tasks: Some of the test tasks.
        others: Ids of the other environments.
        envs: Ids of the recipe's environments.
        num_bad: Records of the source that cannot be read.
        first_bad: What is wrong with the first of these.
        num_left_out: Episodes of the source that are not learned from, because they did not succeed.
    """

    source: str
    num_episodes: int
    num_test: int
    num_other: int
    num_unknown: int
    test_tasks: tuple[str, ...]
    others: tuple[str, ...]
    envs: tuple[str, ...]
    num_bad: int = 0
    first_bad: str = ""
    num_left_out: int = 0

    def check(self, allowed: Collection[str]) -> None:
        """Refuse test tasks and other environments.

        Args:
            allowed: Words of the recipe that let them in.

        Raises:
            UsageError: With how many there are, which, and what to do.
        """
        problems: list[tuple[str, str]] = []
        if self.num_test and "test_tasks" not in allowed:
            problems.append((self._test_text(), "test_tasks"))
        if self.num_other and "other_envs" not in allowed:
            problems.append((self._other_text(), "other_envs"))
        if problems:
            words = ", ".join(f'"{word}"' for word in [*allowed, *(word for _, word in problems)])
            texts = "; ".join(text for text, _ in problems)
            raise UsageError(
                f"{self.source}: {texts}. Train on episodes of the train split (palaestra evaluate --split train plays some), "
                f"or write allow = [{words}] in the recipe, and the report says so."
            )

    @property
    def notice(self) -> str:
        """What a reader of the results has to know.

        Empty if every episode is from train tasks of the recipe, and every record of its source could be read.
        """
        parts = [self._test_text()] if self.num_test else []
        parts += [self._other_text()] if self.num_other else []
        if self.num_unknown:
            parts.append(
                f"where {self.num_unknown:,} of {self.num_episodes:,} episodes were played is unknown; they may be test tasks"
            )
        if self.num_bad:
            records = "record cannot be read and is" if self.num_bad == 1 else "records cannot be read and are"
            parts.append(f"{self.num_bad:,} {records} left out (the first: {self.first_bad.rstrip('.')})")
        return f"Trained on {self.source}: {'; '.join(parts)}." if parts else ""

    def to_json(self) -> dict[str, Json]:
        """Return counts and notice as plain JSON."""
        counts: dict[str, Json] = {"episodes": self.num_episodes, "test_tasks": self.num_test, "other_envs": self.num_other}
        counts |= {"unknown": self.num_unknown, "unreadable": self.num_bad, "left_out": self.num_left_out}
        return {"source": self.source, **counts, "notice": self.notice}

    def _test_text(self) -> str:
        return (
            f"{self.num_test:,} of {self.num_episodes:,} episodes are test tasks of {' and '.join(self.envs)} "
            f"({_some(self.test_tasks)}), on which the recipe evaluates"
        )

    def _other_text(self) -> str:
        return (
            f"{self.num_other:,} of {self.num_episodes:,} episodes were played in {_some(self.others)}, which is not an "
            f"environment of the recipe"
        )


def provenance_of(origins: Iterable[Origin], envs: Sequence[TrainedEnv], source: str) -> Provenance:
    """Hold the origins of episodes against the environments of a recipe.

    Args:
        origins: Of the episodes, e.g. by `Origin.of`.
        envs: The recipe's environments.
        source: Where the episodes come from, for messages.
    """
    judge = _Judge(envs)
    counts: Counter[str] = Counter()
    test_tasks: dict[str, None] = {}
    others: dict[str, None] = {}
    for origin in origins:
        kind = judge(origin)
        counts[kind] += 1
        if kind == "test" and len(test_tasks) <= _SHOWN:
            test_tasks[origin.task_key or f"split {origin.split}"] = None
        elif kind == "other" and len(others) <= _SHOWN:
            others[origin.env_id] = None
    return Provenance(
        source=source,
        num_episodes=counts.total(),
        num_test=counts["test"],
        num_other=counts["other"],
        num_unknown=counts["unknown"],
        test_tasks=tuple(test_tasks),
        others=tuple(others),
        envs=tuple(dict.fromkeys(env.env_id for env in envs)),
    )


def is_same_env(one: str, other: str) -> bool:
    """Whether two ids name the same environment: a module before it (`module:ID`) and a missing version aside."""
    (name, version), (other_name, other_version) = _parts(one), _parts(other)
    return name == other_name and (version == other_version or not version or not other_version)


class _Judge:
    """Says of an origin whether it is "train", "test", "other" or "unknown"; the same question is answered once."""

    def __init__(self, envs: Sequence[TrainedEnv]) -> None:
        self._envs = envs
        self._known: dict[Origin, str] = {}

    def __call__(self, origin: Origin) -> str:
        if origin not in self._known:
            self._known[origin] = self._judged(origin)
        return self._known[origin]

    def _judged(self, origin: Origin) -> str:
        if not origin.env_id:
            return "unknown"
        envs = [env for env in self._envs if is_same_env(env.env_id, origin.env_id)]
        if not envs:
            return "other"
        found = {split for env in envs for split in _splits_of(origin.task_key, env)}
        if not ({origin.split} | found).isdisjoint(env.test_split for env in envs):
            return "test"
        return "train" if found or any(_has_split(env, origin.split) for env in envs) else "unknown"


def _has_split(env: TrainedEnv, split: str) -> bool:
    """Whether an environment has a split; one without a task set takes any."""
    tasks = env.tasks() if split else None
    return bool(split) and (tasks is None or split in tasks.splits)


def _splits_of(key: str, env: TrainedEnv) -> Iterator[str]:
    """Yield the split that a key, or a published id, belongs to; nothing if the environment does not have it."""
    tasks = env.tasks() if key else None
    if tasks is not None:
        try:
            yield tasks.find(tasks.aliases.get(key, key)).split
        except (UsageError, LookupError, ValueError, TypeError):  # sets of others raise what they like
            return


def _parts(env_id: str) -> tuple[str, str]:
    """Return an id without module and version, and the version."""
    name = env_id.rpartition(":")[2]
    found = re.search(r"-v(\d+)$", name)
    return (name[: found.start()], found[1]) if found else (name, "")


def _some(names: Sequence[str]) -> str:
    """Return a few names for a message."""
    return ", ".join([*names[:_SHOWN], "..."] if len(names) > _SHOWN else names)


__all__ = ["Allowed", "Provenance", "TrainedEnv", "is_same_env", "provenance_of"]
