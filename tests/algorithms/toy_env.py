"""FeedbackKeys (specs/algorithms, section 10.1, made small): a hidden map from keys to actions, the same in every episode."""

from __future__ import annotations

from collections.abc import Iterator

import gymnasium

from palaestra.envs.core.tasks import GeneratedTasks, Task
from palaestra.envs.core.text_env import TextEnv, Turn
from palaestra.types import Json, Message

KEYS = ("red", "green", "blue", "pink", "gold", "gray")
ACTIONS = ("push", "pull", "turn")
ENV_ID = "test/FeedbackKeys-v0"


def right_action(key: str) -> str:
    """The hidden map; each action is right for two keys."""
    return ACTIONS[KEYS.index(key) % len(ACTIONS)]


class FeedbackKeysEnv(TextEnv):
    """Show a key, take an action, K times; the reward at the end is the share of right actions."""

    def __init__(self, num_turns: int = 4, **kwargs: object) -> None:
        super().__init__(GeneratedTasks(lambda split, i: Task(f"{split}/{i}", split), {"train": None, "test": 200}), **kwargs)  # type: ignore[arg-type]
        self.num_turns = num_turns
        self._keys: list[str] = []
        self._right: list[bool] = []

    def _begin(self, task: Task) -> str:
        rng = self.np_random
        self._keys = [KEYS[i] for i in rng.integers(len(KEYS), size=self.num_turns)]
        self._right = []
        return f"start {self._keys[0]}"

    def _act(self, action: str | Message) -> Turn:
        text = action if isinstance(action, str) else action.content
        self._right.append(text == right_action(self._keys[len(self._right)]))
        feedback = "ok" if self._right[-1] else "bad"
        turn = len(self._right)
        if turn < self.num_turns:
            return Turn(f"{feedback} {self._keys[turn]}")
        score = sum(self._right) / self.num_turns
        return Turn(feedback, reward=score, score=score, terminated=True, success=score == 1.0)

    def expert(self) -> Iterator[str | Message]:
        while len(self._right) < self.num_turns:
            yield right_action(self._keys[len(self._right)])

    def _save(self) -> Json:
        return {"keys": self._keys, "right": self._right}

    def _load(self, task: Task, state: Json) -> None:
        self._keys, self._right = list(state["keys"]), list(state["right"])


def register() -> None:
    """Make the toy known to Gymnasium; harmless when repeated."""
    if ENV_ID not in gymnasium.registry:
        gymnasium.register(ENV_ID, entry_point=FeedbackKeysEnv)
