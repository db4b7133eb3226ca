"""Tasks of Wordle: lists drawn from words of our own, or a published list with the seeds of its games.

Keys: `train/17`, a list of its own and a seed; of a published list `NAME/SEED`, e.g. `tweet_words/5`: the name of its file,
and the seed of the draws. Published ids are `upstream#SEED`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np

from palaestra.envs.agentgym.numbered import NumberedAliases
from palaestra.envs.agentgym.published import PublishedItem, published_tasks
from palaestra.envs.agentgym.wordle.world import WordList, word_list
from palaestra.envs.core.data_files import kind_of, place_of, read_text, shown
from palaestra.envs.core.tasks import FixedTasks, GeneratedTasks, Task, TaskSet
from palaestra.envs.core.typed import fits
from palaestra.errors import ConfigError, MissingDataError, unknown_name

MAPPING = "upstream"
TEST_SHARE = 5  # one word in so many belongs to the test split
NUM_TEST_TASKS = 1000
NUM_SEEDS = 10_000
MAX_BYTES = 1_000_000


@dataclass(frozen=True)
class DrawnLists:
    """Draws a list of words for each task; the words of the two splits are different ones.

    Attributes:
        num_words: Words of a list, 2 to 100.
        num_test_tasks: Number of test tasks; the train split has no end.
    """

    num_words: int = 40
    num_test_tasks: int = NUM_TEST_TASKS

    def __post_init__(self) -> None:
        """Check the ranges."""
        if not fits(self.num_words, int) or not 2 <= self.num_words <= 100:
            raise ConfigError(f"num_words is {self.num_words!r}; expected an integer of 2 to 100.")
        if not fits(self.num_test_tasks, int) or self.num_test_tasks < 1:
            raise ConfigError(f"num_test_tasks is {self.num_test_tasks!r}; expected an integer of at least 1.")

    def tasks(self) -> GeneratedTasks:
        """Return the task set."""
        return GeneratedTasks(self.make, {"train": None, "test": self.num_test_tasks})

    def make(self, split: str, index: int) -> Task:
        """Make task number `index` of a split."""
        rng = np.random.Generator(np.random.PCG64([7_412, split == "test", index]))
        words = own_words(split)
        picks = rng.choice(len(words), self.num_words, replace=False)
        data = {"words": [words[i] for i in picks], "seed": int(rng.integers(2**31))}
        return Task(f"{split}/{index}", split, data=data)


class PublishedGames(TaskSet):
    """One game per seed of a published list, all of them in the split "test".

    Args:
        name: Name of the list, the first part of the keys.
    """

    splits = ("test",)

    def __init__(self, name: str) -> None:
        """Name the games."""
        self.name = name
        self.aliases = NumberedAliases(MAPPING, NUM_SEEDS, f"{name}/{{}}")

    def size(self, split: str) -> int | None:
        """Return the number of games: the seeds below `NUM_SEEDS`."""
        return NUM_SEEDS

    def at(self, split: str, index: int) -> Task:
        """Return the game of a seed."""
        if not 0 <= index < NUM_SEEDS:
            raise IndexError(f"Split {split!r} has {NUM_SEEDS} games; there is no number {index}.")
        return game(self.name, index, split)

    def find(self, key: str) -> Task:
        """Return the game with this key, `NAME/SEED`."""
        name, _, seed = str(key).rpartition("/")
        if name != self.name or not seed.isdecimal() or len(seed) > 9 or seed != str(int(seed)) or int(seed) >= NUM_SEEDS:
            raise unknown_name("task", key, [f"{self.name}/0"], hint=f"Keys read '{self.name}/SEED', up to {NUM_SEEDS - 1}.")
        return game(self.name, int(seed), "test")


def game(name: str, seed: int, split: str) -> Task:
    """Return the task of a seed of a published list."""
    return Task(f"{name}/{seed}", split, data={"seed": seed})


def listed_games(name: str, sources: str | Path | Mapping[str, Any]) -> FixedTasks:
    """Return the games of published files: the integer of an item is the seed of its game.

    Args:
        name: Name of the list that they are played with.
        sources: See `palaestra.envs.agentgym.published.published_tasks`.
    """

    def task_of(item: PublishedItem, path: str, split: str) -> Task:
        if item.number is None:
            raise ConfigError(f"Item {item.item_id!r} of {path} has no number; expected 'lmrlgym_wordle_SEED'.")
        return game(name, item.number, split)

    found = published_tasks("lmrlgym_wordle", sources, task_of)
    return FixedTasks(found.tasks, aliases=found.aliases)


def read_words(path: str | Path) -> tuple[str, WordList]:
    """Return the name and the words of a published list: one word a line, in the order that its draws depend on.

    Capitals are read as small letters.

    Raises:
        MissingDataError: If there is no such file.
        ConfigError: If it holds anything but different words of five letters.
    """
    place = place_of(path)
    if kind_of(place) != "file":
        raise MissingDataError(
            f"There is no list of words at {shown(place)}; expected a text file with a word of five letters a line, such "
            f"as AgentGym's tweet_words.txt."
        )
    words = [word for line in read_text(place, max_bytes=MAX_BYTES).split("\n") if (word := line.strip().lower())]
    try:
        return place.stem, WordList(words)
    except ValueError as error:
        raise ConfigError(f"{shown(place)}: {error}.") from None


def split_of(word: str) -> str:
    """Return the split of a word of ours: permanently the same."""
    digest = hashlib.blake2b(word.encode(), digest_size=8).digest()
    return "test" if int.from_bytes(digest, "big") % TEST_SHARE == 0 else "train"


@cache
def own_words(split: str) -> tuple[str, ...]:
    """Return our words of a split, in alphabetical order."""
    text = (resources.files("palaestra.envs.agentgym.wordle") / "words.txt").read_text(encoding="utf-8")
    return tuple(word for word in text.split() if split_of(word) == split)


def words_of(task: Task, default: WordList | None) -> tuple[WordList, int]:
    """Return the list and the seed of a task.

    Raises:
        KeyError, TypeError, ValueError: If it is not a task of Wordle, or of a published list without that list.
    """
    seed, words = task.data["seed"], task.data.get("words")
    if not fits(seed, int) or seed < 0:
        raise TypeError("the seed is not an integer of at least 0")
    if words is None:
        if default is None:
            raise ValueError("it has no words")
        return default, seed
    if not fits(words, list[str]):
        raise TypeError("the words are not a list of texts")
    return word_list(tuple(words)), seed


__all__ = ["MAPPING", "DrawnLists", "PublishedGames", "listed_games", "own_words", "read_words", "split_of", "words_of"]
