"""A toy world with sound and picture: it shows a picture, plays a tone, and wants to hear the tone again.

Runs as `tests.media.gallery:tests/Gallery-v0` wherever an id is asked for.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator

import gymnasium
import numpy as np

from palaestra.agents.rollout.plans import EpisodePlan
from palaestra.envs.core.tasks import GeneratedTasks, Task
from palaestra.envs.core.text_env import TextEnv, Turn
from palaestra.envs.formats import parse_message
from palaestra.media import Media, current_media, png_bytes, read_wav, tone
from palaestra.spaces import MediaWords
from palaestra.types import Json, Message

ENV_ID = "tests/Gallery-v0"
SPEC = f"tests.media.gallery:{ENV_ID}"
COLOURS = {"red": (220, 40, 40), "green": (40, 200, 60), "blue": (40, 60, 220)}
PITCHES = {"low": 220, "high": 880}


class GalleryEnv(TextEnv):
    """Three questions; a third of the reward for each that is answered well.

    Args:
        exit_at: Key of a task at whose second turn the process dies, to see what becomes of it.
    """

    def __init__(self, *, exit_at: str = "", max_turns: int | None = 6, render_mode: str | None = None) -> None:
        self.exit_at = exit_at
        tasks = GeneratedTasks(self._make_task, {"train": None, "test": 400})
        super().__init__(tasks, max_turns=max_turns, sampler=MediaWords(as_message=True), render_mode=render_mode)

    @staticmethod
    def _make_task(split: str, index: int) -> Task:
        seed = int.from_bytes(hashlib.blake2b(f"{split}/{index}".encode(), digest_size=4).digest(), "big")
        colour, pitch = list(COLOURS)[seed % 3], list(PITCHES)[seed // 3 % 2]
        return Task(f"{split}/{index}", split, colour, {"colour": colour, "pitch": pitch, "seed": seed})

    def instructions(self) -> str:
        return "Answer each question with one word, or with a sound where one is asked for."

    def expert(self) -> Iterator[str | Message]:
        while self._stage < 3:
            assert self.task is not None
            if self._stage < 2:
                yield self.task.data["colour" if self._stage == 0 else "pitch"]
            else:
                media = current_media().put(tone(PITCHES[self.task.data["pitch"]], 0.2))
                yield Message("assistant", f"Like this: {media.tag}", media=(media,))

    def _begin(self, task: Task) -> str:
        self._stage = 0
        return self._question(task)

    def _act(self, action: str | Message) -> Turn:
        message = action if isinstance(action, Message) else parse_message(action)
        task, stage = self.task, self._stage
        assert task is not None
        if stage == 1 and task.key == self.exit_at:
            os._exit(13)
        if stage < 2:
            is_right = message.content.strip() == task.data["colour" if stage == 0 else "pitch"]
        else:
            sound = next((item for item in message.media if item.kind == "audio"), None)
            data = None if sound is None else current_media().find(sound)
            if data is None:
                return Turn("I hear nothing. Answer with a sound.", action_error="There is no sound in your answer.")
            is_right = abs(loudest_hz(data) - PITCHES[task.data["pitch"]]) < 20
        self._stage += 1
        is_over = self._stage == 3
        score = self._score + is_right / 3
        return Turn("The end." if is_over else self._question(task), is_right / 3, is_over, score > 0.99)

    def _question(self, task: Task) -> str:
        if self._stage == 2:
            return "Whistle it back."
        if self._stage == 1:
            sound = current_media().put(tone(PITCHES[task.data["pitch"]] + task.data["seed"] % 10, 0.2))
            return f"Listen: {sound.tag} Is it high or low?"
        return f"Look: {self.picture(task).tag} Is it red, green or blue?"

    @staticmethod
    def picture(task: Task) -> Media:
        noise = np.random.default_rng(task.data["seed"]).integers(-30, 30, (16, 24, 3))
        return current_media().put(png_bytes((np.array(COLOURS[task.data["colour"]]) + noise).clip(0, 255).astype(np.uint8)))

    def _save(self) -> Json:
        return self._stage

    def _load(self, task: Task, state: Json) -> None:
        self._stage = state


def loudest_hz(data: bytes) -> float:
    """Return the strongest frequency of a sound."""
    samples, rate = read_wav(data)
    strength = np.abs(np.fft.rfft(samples[:, 0] * np.hanning(len(samples))))
    return float(strength.argmax() * rate / len(samples)) if len(strength) else 0.0


def make_gallery(plan: EpisodePlan) -> gymnasium.Env:
    """Make the environment in whatever process asks."""
    return GalleryEnv(**plan.env_kwargs)


if ENV_ID not in gymnasium.registry:
    gymnasium.register(
        ENV_ID,
        "tests.media.gallery:GalleryEnv",
        vector_entry_point=f"palaestra.envs.core.vector:{ENV_ID}",
        order_enforce=False,
    )
