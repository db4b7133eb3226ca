"""Defects in environments as a third party writes them: no tasks, no expert, no snapshots."""

# ruff: noqa: D102  (hooks of the class that each of these changes)

from __future__ import annotations

import base64
import random
import time
from typing import Any

from experiments.audit.planted.bases import Sums, WordLock

Reset = tuple[str, dict[str, Any]]
Stepped = tuple[str, float, bool, bool, dict[str, Any]]


class LockWordInInfo(WordLock):
    """The word is a field of the info."""

    def reset(self, **kwargs: Any) -> Reset:
        observation, info = super().reset(**kwargs)
        return observation, {**info, "secret": self.word}


class LockWordEncoded(WordLock):
    """The word is there in base64, under a name that says nothing."""

    def reset(self, **kwargs: Any) -> Reset:
        observation, info = super().reset(**kwargs)
        return observation, {**info, "session": base64.b64encode(f"{self.word}".encode()).decode()}


class LockWordInText(WordLock):
    """The first observation ends with the word."""

    def reset(self, **kwargs: Any) -> Reset:
        observation, info = super().reset(**kwargs)
        return f"{observation} (debug {self.word})", info


class LockWordInReply(WordLock):
    """A wrong word is told the right one."""

    def step(self, action: str) -> Stepped:
        told, *rest = super().step(action)
        return (f"{told} It was {self.word}", *rest)  # type: ignore[return-value]


class LockAnything(WordLock):
    """Every word opens."""

    def step(self, action: str) -> Stepped:
        return super().step(self.word)


class LockMemory(WordLock):
    """The lock stays open for good."""

    opened = False

    def step(self, action: str) -> Stepped:
        told = super().step(self.word if self.opened or len(action) == 3 else action)
        self.opened = self.opened or told[1] > 0
        return told


class LockOneWord(WordLock):
    """The word is always the same."""

    def reset(self, **kwargs: Any) -> Reset:
        return super().reset(**{**kwargs, "seed": 5})


class LockChance(WordLock):
    """One wrong word in five opens, by the global generator."""

    def step(self, action: str) -> Stepped:
        return super().step(self.word if random.random() < 0.2 else action)


class LockTime(WordLock):
    """In some seconds the reward is another one."""

    def step(self, action: str) -> Stepped:
        told, reward, *rest = super().step(action)
        return (told, reward + (0.5 if int(time.time()) % 2 else 0.0), *rest)  # type: ignore[return-value]


class SumsInInfo(Sums):
    """The sum is a number in the info."""

    def reset(self, **kwargs: Any) -> Reset:
        observation, _ = super().reset(**kwargs)
        return observation, {"n": self.total}


class LockPart(WordLock):
    """Anything with three letters of the word opens."""

    def step(self, action: str) -> Stepped:
        return super().step(self.word if len(set(action) & set(self.word)) > 2 else action)


REPLAY, ELSEWHERE = "stability.replay", "stability.elsewhere"
DEFECTS: dict[str, tuple[str | tuple[str, ...], str]] = {
    "LockWordInInfo": ("leaks.info", "the word in info"),
    "LockWordEncoded": ("leaks.info", "the word in info, in base64"),
    "LockWordInText": ("leaks.observation", "the word at the end of the first observation"),
    "LockWordInReply": ("leaks.error", "the word in the reply to a wrong one"),
    "LockAnything": ("floor", "anything is paid"),
    "LockMemory": (REPLAY, "what was opened stays open in later episodes"),
    "LockOneWord": ("splits.goals", "all episodes are the same"),
    "LockChance": ((REPLAY, "floor"), "luck by the global generator"),
    "LockTime": ((ELSEWHERE, REPLAY), "the reward depends on the second"),
    "SumsInInfo": ("leaks.info", "the sum as a number in info"),
    "LockPart": ("floor", "a part of the answer is enough"),
}
