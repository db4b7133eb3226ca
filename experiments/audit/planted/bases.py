"""Small environments without a defect, to plant some in: two of ours, two as a third party would write them."""

from __future__ import annotations

import string
from collections.abc import Iterator
from typing import Any, ClassVar

import gymnasium
import numpy as np
from gymnasium.spaces import Text

from palaestra.envs.core.tasks import GeneratedTasks, Task
from palaestra.envs.core.text_env import TextEnv, Turn
from palaestra.types import Json, Message

NAMES = ("Alder", "Birch", "Cedar", "Dogwood", "Elm", "Fir", "Gorse", "Hazel", "Ivy", "Juniper", "Larch", "Maple")
WORDS = (
    "anchor", "basket", "candle", "dragon", "engine", "forest", "garden", "hammer", "island", "jacket", "kettle", "ladder",
    "magnet", "needle", "orange", "pepper", "quarry", "ribbon", "saddle", "tunnel", "valley", "walnut", "yellow", "zipper",
)  # fmt: skip


def text_of(action: str | Message) -> str:
    """Return the words of an action."""
    return (action if isinstance(action, str) else action.content).strip()


class Vaults(TextEnv):
    """Find out the code of a vault: look into the books that name it, then say it.

    Action: `look BOOK`, or `say CODE`, which ends the episode. Reward: 1 for the right code.
    """

    sizes: ClassVar[dict[str, int | None]] = {"train": None, "test": 200}

    def __init__(self, *, split: str = "train", max_turns: int | None = 12, render_mode: str | None = None) -> None:
        """Make the tasks."""
        self.books: dict[str, str] = {}
        tasks = GeneratedTasks(self.make_task, dict(self.sizes))
        super().__init__(tasks, split=split, max_turns=max_turns, sampler=_sample, render_mode=render_mode)

    @staticmethod
    def make_task(split: str, index: int) -> Task:
        """Make a task: three books with codes, one of which is the vault's."""
        rng = np.random.default_rng([77, split == "test", index])
        names = [NAMES[int(i)] for i in rng.permutation(len(NAMES))[:4]]
        codes = [f"{WORDS[int(rng.integers(len(WORDS)))]}-{int(rng.integers(100, 1000))}" for _ in names]
        vault = f"{'AB'[split == 'test']}{index}"
        data = {"vault": vault, "books": dict(zip(names, codes, strict=True)), "book": names[0], "code": codes[0]}
        return Task(f"{split}/{index}", split, ("odd", "even")[index % 2], data)

    def instructions(self) -> str:
        """Return the rules."""
        return "Find the code of the vault. Write `look BOOK` to read a book, and `say CODE` to open the vault."

    def expert(self) -> Iterator[str]:
        """Look into the book, then say the code."""
        if self.task is not None:
            yield f"look {self.task.data['book']}"
            yield f"say {self.task.data['code']}"

    def _begin(self, task: Task) -> str:
        """Set the books up."""
        self.books = dict(task.data["books"])
        order = sorted(self.books)
        return (
            f"The code of vault {task.data['vault']} is in the book {task.data['book']}. There are books {', '.join(order)}."
        )

    def _act(self, action: str | Message) -> Turn:
        """Look, or say."""
        verb, _, what = text_of(action).partition(" ")
        if verb == "look" and what in self.books:
            return Turn(f"It says {self.books[what]}.")
        if verb == "say":
            return self._judge(what.strip())
        problem = f"There is no book {what!r} here." if verb == "look" else "Write `look BOOK` or `say CODE`."
        return Turn(problem, action_error=problem)

    def _judge(self, code: str) -> Turn:
        """Compare a code."""
        assert self.task is not None
        if code == self.task.data["code"]:
            return Turn("It opens.", 1.0, True, True)
        return Turn("It stays shut.", 0.0, True)

    def _save(self) -> Json:
        """Return the books."""
        return {"books": dict(self.books)}

    def _load(self, task: Task, state: Json) -> None:
        """Set the books."""
        del task
        self.books = dict(state["books"])


def _sample(rng: np.random.Generator) -> str:
    """Draw an action."""
    if rng.random() < 0.7:
        return f"look {NAMES[int(rng.integers(len(NAMES)))]}"
    return f"say {WORDS[int(rng.integers(len(WORDS)))]}-{int(rng.integers(100, 1000))}"


class Chores(TextEnv):
    """Do the chores on a list, in any order, then say that they are done.

    Action: `do CHORE`, `undo CHORE`, or `finished`, which ends the episode. Reward: 1 if exactly these are done.
    """

    chores: ClassVar[tuple[str, ...]] = WORDS
    sizes: ClassVar[dict[str, int | None]] = {"train": 400, "test": 100}

    def __init__(self, *, split: str = "train", max_turns: int | None = 20, render_mode: str | None = None) -> None:
        """Make the tasks."""
        self.finished: list[str] = []
        tasks = GeneratedTasks(self.make_task, dict(self.sizes))
        super().__init__(tasks, split=split, max_turns=max_turns, sampler=self.draw, render_mode=render_mode)

    @staticmethod
    def draw(rng: np.random.Generator) -> str:
        """Draw an action."""
        return "finished" if rng.random() < 0.1 else f"do {WORDS[int(rng.integers(len(WORDS)))]}"

    @staticmethod
    def make_task(split: str, index: int) -> Task:
        """Make a task of three to five chores; their number modulo 5 tells the splits apart."""
        rng = np.random.default_rng([78, split == "test", index])
        while True:
            picked = rng.permutation(len(WORDS))[: int(rng.integers(3, 6))]
            if (int(picked.sum()) % 5 == 0) == (split == "test"):
                break
        wanted = [WORDS[int(i)] for i in picked]
        return Task(f"{split}/{index}", split, f"{len(wanted)} chores", {"wanted": wanted})

    def instructions(self) -> str:
        """Return the rules."""
        return "Do exactly the chores on the list: `do CHORE`, `undo CHORE`; then write `finished`."

    def expert(self) -> Iterator[str]:
        """Do them one by one."""
        if self.task is not None:
            yield from (f"do {chore}" for chore in self.task.data["wanted"])
            yield "finished"

    def _begin(self, task: Task) -> str:
        """Begin with nothing done."""
        self.finished = []
        return f"Your chores: {', '.join(task.data['wanted'])}."

    def _act(self, action: str | Message) -> Turn:
        """Do, undo or finish."""
        verb, _, chore = text_of(action).partition(" ")
        if verb == "finished" and not chore:
            return self._judge()
        if verb not in ("do", "undo") or chore not in WORDS or (chore in self.finished) == (verb == "do"):
            problem = "That cannot be done now. Write `do CHORE`, `undo CHORE` or `finished`."
            return Turn(problem, action_error=problem)
        if verb == "do":
            self.finished.append(chore)
        else:
            self.finished.remove(chore)
        return Turn(f"{chore}: {'done' if verb == 'do' else 'undone'}.")

    def _judge(self) -> Turn:
        """Compare what was done with the list."""
        assert self.task is not None
        if sorted(self.finished) == sorted(self.task.data["wanted"]):
            return Turn("All is done.", 1.0, True, True)
        return Turn("That was not the list.", 0.0, True)

    def _save(self) -> Json:
        """Return the actions so far."""
        return {"finished": list(self.finished)}

    def _load(self, task: Task, state: Json) -> None:
        """Set what was done."""
        del task
        self.finished = list(state["finished"])


class WordLock(gymnasium.Env[str, str]):
    """As a third party writes it: find a word from its letters, in three tries. No tasks, no expert, no snapshots."""

    metadata: ClassVar[dict[str, Any]] = {"render_modes": []}  # type: ignore[misc]
    observation_space = Text(max_length=400, charset=string.printable)
    action_space = Text(max_length=40, charset=string.ascii_lowercase + " ")

    def __init__(self) -> None:
        """Nothing is locked yet."""
        self.word, self.tries = "", 0

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[str, dict[str, Any]]:
        """Draw a word and shuffle its letters."""
        super().reset(seed=seed, options=options)
        self.word = "".join(string.ascii_lowercase[int(i)] for i in self.np_random.integers(26, size=7))
        self.tries = 3
        shuffled = "".join(self.word[int(i)] for i in self.np_random.permutation(len(self.word)))
        return f"The lock opens with the letters {shuffled} in the right order. Three tries.", {"tries": 3}

    def step(self, action: str) -> tuple[str, float, bool, bool, dict[str, Any]]:
        """Try a word."""
        self.tries -= 1
        if action.strip() == self.word:
            return "It opens.", 1.0, True, False, {"success": True, "tries": self.tries}
        told = "It stays shut. " + ("Try again." if self.tries else "It is over.")
        return told, 0.0, self.tries == 0, False, {"success": False, "tries": self.tries}


class Sums(gymnasium.Env[str, str]):
    """As a third party writes it: one sum, one answer, and no `success` in the info."""

    metadata: ClassVar[dict[str, Any]] = {"render_modes": []}  # type: ignore[misc]
    observation_space = Text(max_length=400, charset=string.printable)
    action_space = Text(max_length=12, charset=string.digits)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[str, dict[str, Any]]:
        """Draw a sum."""
        super().reset(seed=seed, options=options)
        a, b = (int(number) for number in self.np_random.integers(100, 1000, size=2))
        self.total = a + b
        return f"What is {a} + {b}?", {}

    def step(self, action: str) -> tuple[str, float, bool, bool, dict[str, Any]]:
        """Compare an answer."""
        right = action.strip() == str(self.total)
        return ("Right." if right else "Wrong."), float(right), True, False, {}
