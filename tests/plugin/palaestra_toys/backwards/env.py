"""`BackwardsEnv`: say a word backwards; measures how many letters were right."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from palaestra.envs import GeneratedTasks, Task, TextEnv, Turn
from palaestra.results import SHARE, Metric
from palaestra.types import Json, Message

LETTERS = "abcdefghijklmnopqrstuvwxyz"


def make_task(split: str, index: int) -> Task:
    """Return a word of four letters for training, of five for tests."""
    rng = np.random.default_rng([index, split == "test"])
    word = "".join(LETTERS[i] for i in rng.integers(len(LETTERS), size=5 if split == "test" else 4))
    return Task(f"{split}/{index}", split, f"begins with {'a to m' if word < 'n' else 'n to z'}", {"word": word})


def draw_word(rng: np.random.Generator) -> str:
    """Draw any word."""
    return "".join(LETTERS[i] for i in rng.integers(len(LETTERS), size=rng.integers(1, 6)))


class BackwardsEnv(TextEnv):
    """Say a word backwards.

    **Action.** A word; case and spaces around it do not matter.
    **Observation.** The word, or how many letters stand where they should.
    **Reward.** 1 for the word backwards, which ends the episode; `max_turns` truncates it.
    """

    metrics = (
        Metric("letters_right", "higher", SHARE, "Letters of the last answer that stand where they should.", lead=True),
        Metric("letters_said", "lower", "letters", "Letters of all answers together."),
    )
    results = "palaestra_toys.backwards.results:backwards_results"

    def __init__(self, *, max_turns: int | None = 3, split: str = "train", render_mode: str | None = None) -> None:
        """Begin without a word."""
        tasks = GeneratedTasks(make_task, {"train": None, "test": None})
        super().__init__(tasks, split=split, max_turns=max_turns, sampler=draw_word, render_mode=render_mode)
        self.word, self.said = "", 0

    def instructions(self) -> str:
        """Return the rules."""
        return "Answer with the word backwards, and nothing else."

    def expert(self) -> Iterator[str | Message]:
        """Yield the word backwards."""
        yield self.word[::-1]

    def _begin(self, task: Task) -> str:
        self.word, self.said = task.data["word"], 0
        return f"The word is {self.word}."

    def _act(self, action: str | Message) -> Turn:
        answer = (action if isinstance(action, str) else action.content).strip().lower()
        wanted = self.word[::-1]
        if not answer.isalpha():
            problem = "Your message is not a word. Answer with letters only."
            return Turn(problem, action_error=problem)
        self.said += len(answer)
        right = sum(a == b for a, b in zip(answer, wanted, strict=False))
        solved = answer == wanted
        metrics = {"letters_right": right / len(wanted), "letters_said": float(self.said)}
        return Turn(f"{right} of {len(wanted)} letters.", float(solved), solved, solved, metrics=metrics)

    def _save(self) -> Json:
        return [self.word, self.said]

    def _load(self, task: Task, state: Json) -> None:
        self.word, self.said = state
