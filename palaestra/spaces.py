"""Unicode spaces for observations and actions.

`gymnasium.spaces.Text` draws from a fixed character set and refuses ordinary prose; these contain what is really sent,
compare, pickle and seed. A space samples through a *sampler*: any picklable callable `sampler(rng) -> str | Message`,
so that an environment's `action_space.sample()` draws from its own grammar. Texts and messages may name sounds and pictures
(`palaestra.media`); a space that is given a store contains only what names media whose bytes lie there.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from gymnasium.spaces import Space
from gymnasium.vector.utils.shared_memory import create_shared_memory

from palaestra.errors import UsageError
from palaestra.media.items import Media, find_media
from palaestra.media.making import png_bytes, tone
from palaestra.media.store import MediaStore, current_media
from palaestra.types import MAX_DEPTH, Message, ToolCall

Sampler = Callable[[np.random.Generator], "str | Message"]

MAX_TEXT_CHARS = 1_000_000
MAX_ACTION_CHARS = 100_000
_MAX_BITS = 4_000  # of a whole number in a call: some 1,200 digits; Python itself writes at most 4,300
_TOO_LARGE = f"Your message and its tool calls are larger than {MAX_ACTION_CHARS} characters. Send less at once."
_NOT_UNICODE = "A tool call is not valid Unicode (it holds lone surrogates). Send it again as plain text."


@dataclass(frozen=True)
class Words:
    """Sampler of prose: one to `max_words` words from a small multilingual list."""

    max_words: int = 12
    words: tuple[str, ...] = ("the", "a", "go", "look", "door", "naïve", "straße", "日本", "да", "ok", "42", "?", "\n", "🙂")

    def __call__(self, rng: np.random.Generator) -> str:
        """Draw a text."""
        picks = rng.integers(len(self.words), size=int(rng.integers(1, self.max_words + 1)))
        return " ".join(self.words[i] for i in picks)


@dataclass(frozen=True)
class MediaWords:
    """Sampler of prose with a small sound or picture in it, whose bytes it puts into a store.

    Attributes:
        as_message: Draw assistant messages rather than texts.
        words: Draws the prose.
        store: Where the bytes go; the current store of the process by default.
    """

    as_message: bool = False
    words: Words = Words()
    store: MediaStore | None = None

    def __call__(self, rng: np.random.Generator) -> str | Message:
        """Draw a text or a message."""
        store = current_media() if self.store is None else self.store
        pieces = [self.words(rng)]
        for _ in range(int(rng.integers(1, 3))):
            if rng.integers(2):
                data = tone(int(rng.integers(100, 2000)), int(rng.integers(1, 9)) / 50, rate=8000)
            else:
                data = png_bytes(rng.integers(256, size=(*rng.integers(1, 13, size=2), 3), dtype=np.uint8))
            pieces.insert(int(rng.integers(len(pieces) + 1)), store.put(data).tag)
        text = " ".join(pieces)
        return Message.of_text("assistant", text) if self.as_message else text


class TextSpace(Space[str]):
    """Any valid Unicode text up to `max_chars` characters.

    Args:
        max_chars: Longest text contained, in characters.
        sampler: Draws a text from a generator; prose by default.
        media: Store of sounds and pictures: texts that name others are not contained. Without one, any tag is.
        seed: Seed of the space's own generator.
    """

    def __init__(
        self,
        max_chars: int = MAX_TEXT_CHARS,
        *,
        sampler: Sampler | None = None,
        media: MediaStore | None = None,
        seed: int | np.random.Generator | None = None,
    ) -> None:
        """Keep the bound, the sampler and the store."""
        self.max_chars = max_chars
        self.sampler: Sampler = sampler or Words()
        self.media = media
        super().__init__(shape=None, dtype=None, seed=seed)

    @property
    def is_np_flattenable(self) -> bool:
        """Text does not flatten into an array."""
        return False

    def sample(self, mask: Any | None = None, probability: Any | None = None) -> str:
        """Draw a text; masks mean nothing here and are refused."""
        if mask is not None or probability is not None:
            raise ValueError(f"{type(self).__name__}.sample takes no mask or probability; give the space another sampler.")
        return self.sampler(self.np_random)  # type: ignore[return-value]

    def contains(self, x: Any) -> bool:
        """Whether `x` is a text of at most `max_chars` characters that can be written as UTF-8."""
        fits = isinstance(x, str) and len(x) <= self.max_chars and is_unicode(x)
        return fits and (self.media is None or self._lie_there(find_media(x)))

    def _lie_there(self, media: Iterable[Media]) -> bool:
        """Whether the bytes of all media lie in the store, if there is one."""
        return self.media is None or all(item in self.media for item in media)

    def __eq__(self, other: object) -> bool:
        """Spaces are equal if they contain the same values, stores aside."""
        return type(self) is type(other) and self.max_chars == other.max_chars

    def __hash__(self) -> int:
        """Hash as equality compares."""
        return hash((type(self), self.max_chars))

    def __repr__(self) -> str:
        """Show the bound."""
        return f"{type(self).__name__}(max_chars={self.max_chars})"

    def to_jsonable(self, sample_n: Iterable[Any]) -> list[Any]:
        """Return the texts as a list."""
        return list(sample_n)

    def from_jsonable(self, sample_n: list[Any]) -> list[Any]:
        """Rebuild from `to_jsonable`."""
        return list(sample_n)


class ActionSpace(TextSpace):
    """A text, or the assistant `Message` that it stands for.

    Args:
        max_chars: Longest text contained, in characters.
        sampler: Draws a well-formed action of the environment.
        media: Store of sounds and pictures: actions that name others are not contained. Without one, any tag is.
        seed: Seed of the space's own generator.
    """

    def __init__(
        self,
        max_chars: int = MAX_ACTION_CHARS,
        *,
        sampler: Sampler | None = None,
        media: MediaStore | None = None,
        seed: int | np.random.Generator | None = None,
    ) -> None:
        """Keep the bound, the sampler and the store."""
        super().__init__(max_chars, sampler=sampler, media=media, seed=seed)

    def contains(self, x: Any) -> bool:
        """Whether `x` is a contained text, or an assistant message with usable content and calls, which names its media."""
        if not isinstance(x, Message):
            return super().contains(x)
        if x.role != "assistant" or not isinstance(x.content, str):
            return False
        if len(x.content) > self.max_chars or not is_unicode(x.content):
            return False
        if x.tool_calls and calls_problem(x.tool_calls, self.max_chars - len(x.content)):
            return False
        return not x.media or (find_media(x.content) == x.media and self._lie_there(x.media))

    def to_jsonable(self, sample_n: Iterable[Any]) -> list[Any]:
        """Return texts as they are and messages as dicts."""
        return [x.to_json() if isinstance(x, Message) else x for x in sample_n]

    def from_jsonable(self, sample_n: list[Any]) -> list[Any]:
        """Rebuild from `to_jsonable`."""
        return [Message.from_json(x) if isinstance(x, dict) else x for x in sample_n]


def calls_problem(calls: Sequence[ToolCall], max_chars: int = MAX_ACTION_CHARS) -> str:
    """Return the reason why tool calls are unusable, for the agent; empty if nothing does.

    Names, ids and arguments must be plain JSON of valid Unicode, at most `MAX_DEPTH` levels deep and `max_chars` in size:
    characters of all texts, and one for each other value. Nothing is looked at beyond these bounds.

    Args:
        calls: The calls of one message.
        max_chars: Room that the message has for them.
    """
    for call in calls:
        name: object = call.name
        call_id: object = call.id
        if not isinstance(name, str) or not isinstance(call_id, str):
            return "The name or the id of a tool call is not a text. Send texts."
        arguments: object = call.arguments
        if type(arguments) is not dict and not isinstance(arguments, (str, Mapping)):
            return f"The arguments of a tool call are a {type(arguments).__name__}. Send an object with the arguments by name."
        max_chars, problem = _values_problem([call.name, call.id, call.arguments], max_chars)
        if problem:
            return problem
    return ""


def _values_problem(values: list[Any], room: int) -> tuple[int, str]:
    """Return the room that is left after some values, and what makes one of them unusable."""
    level: list[Any] = [values]
    for _ in range(MAX_DEPTH + 1):
        below: list[Any] = []
        for part in level:
            room -= len(part)
            if isinstance(part, Mapping):
                if not all(isinstance(key, str) for key in part):
                    return room, "A map in a tool call has a key that is not a text. Send JSON values."
                part = [*part, *part.values()] if room >= 0 else ()
            for item in part if room >= 0 else ():
                if isinstance(item, str):
                    room -= len(item)
                    if not item.isascii() and not is_unicode(item):
                        return room, _NOT_UNICODE
                elif isinstance(item, (Mapping, list, tuple)):
                    below.append(item)
                elif isinstance(item, int) and item.bit_length() > _MAX_BITS:
                    return room, "A number in a tool call has too many digits. Send a shorter one."
                elif isinstance(item, float) and not math.isfinite(item):
                    return room, f"A number in a tool call is {item}, which is not JSON. Send a finite number."
                elif item is not None and not isinstance(item, (int, float)):
                    return room, f"A value in a tool call is a {type(item).__name__}, which is not JSON. Send JSON values."
            if room < 0:
                return room, _TOO_LARGE
        if not below:
            return room, ""
        level = below
    return room, f"The arguments of a tool call are nested deeper than {MAX_DEPTH} levels. Send flatter ones."


def is_unicode(text: str) -> bool:
    """Whether `text` can be written as UTF-8, i.e. has no lone surrogates."""
    if text.isascii():
        return True
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


@create_shared_memory.register(TextSpace)
def _no_shared_memory(space: TextSpace, n: int = 1, ctx: Any = None) -> Any:
    """Refuse what `AsyncVectorEnv` asks for by default, and say how to switch it off."""
    del space, n, ctx
    raise UsageError(
        "Text has no fixed size and cannot lie in shared memory. Switch it off: gymnasium.make_vec(ENV_ID, num_envs=N, "
        'vectorization_mode="async", vector_kwargs={"shared_memory": False}); or leave vectorization_mode out, which is '
        "fastest for worlds that do not block."
    )
