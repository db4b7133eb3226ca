"""Context policies: what to do when a dialogue outgrows the model's window.

A policy is asked before every request; it returns the messages to send. A rewritten history opens a new token segment
(specs/algorithms, section 1.1), so that training stays exact.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from palaestra.agents.ranges import check_range
from palaestra.errors import ConfigError, ContextWindowError
from palaestra.media.items import Media, split_tags
from palaestra.types import Message

CHARS_PER_TOKEN = 3.5
MESSAGE_OVERHEAD_TOKENS = 6
TOKENS_PER_SECOND, PIXELS_PER_TOKEN = 10.0, 750.0
UNKNOWN_SECONDS, UNKNOWN_SIDE = 10.0, 1000

TokenCounter = Callable[[Sequence[Message]], int]


def estimate_tokens(messages: Sequence[Message]) -> int:
    """Estimate the tokens of a dialogue where the backend cannot count.

    3.5 characters a token and 6 a message; 10 a second of sound; one for 750 pixels of a picture, which is what is published
    for OpenAI's and Anthropic's models.
    """
    chars = 0
    for message in messages:
        chars += len(message.raw or message.content)
        for media in message.media:
            chars += int(CHARS_PER_TOKEN * _media_tokens(media)) - len(media.tag)
        for call in message.tool_calls:
            chars += len(call.name) + len(str(call.arguments))
    return int(chars / CHARS_PER_TOKEN) + MESSAGE_OVERHEAD_TOKENS * len(messages)


@dataclass(frozen=True)
class ContextPolicy:
    """Keeps a dialogue within `max_tokens`.

    Attributes:
        max_tokens: Most prompt tokens of a request; None for no limit.
        strategy: "keep" ends the episode when the limit is passed; "drop_oldest" leaves out the oldest turns
            after the opening (system message and first observation); "elide_observations" first shortens old
            observations to their first and last `keep_chars` characters, then drops turns.
        keep_chars: Characters kept at either end of an elided observation.
        keep_turns: Turns at the end that are never touched, at least 1.
        transient: What becomes of blocks of which an environment says that only the newest matters (`info["transient"]` of its
            reset: names of tags, e.g. "state"): "newest" leaves out the older ones, "keep" leaves all.
    """

    max_tokens: int | None = None
    strategy: Literal["keep", "drop_oldest", "elide_observations"] = "drop_oldest"
    keep_chars: int = 200
    keep_turns: int = 2
    transient: Literal["newest", "keep"] = "newest"

    def __post_init__(self) -> None:
        """Check the values."""
        if self.strategy not in ("keep", "drop_oldest", "elide_observations"):
            raise ConfigError(f"context strategy is {self.strategy!r}; expected keep, drop_oldest or elide_observations.")
        if self.transient not in ("newest", "keep"):
            raise ConfigError(f"transient is {self.transient!r}; expected newest or keep.")
        check_range("max_tokens of the context", self.max_tokens, low=1, whole=True, optional="no limit")
        check_range("keep_turns", self.keep_turns, low=1, whole=True)
        check_range("keep_chars", self.keep_chars, whole=True)

    def current(self, messages: Sequence[Message], tags: Sequence[str] = ()) -> Sequence[Message]:
        """Return the dialogue without blocks that newer ones replace, e.g. `<state>...</state>` in all messages but the last.

        Args:
            messages: The dialogue; what the model wrote stays as it is.
            tags: Names of the tags.
        """
        if not tags or self.transient == "keep":
            return messages
        kept = list(messages)
        for tag in tags:
            opening = f"<{tag}>\n"
            holders = [i for i, message in enumerate(kept) if message.role != "assistant" and opening in message.content]
            for index in holders[:-1]:
                content = re.sub(
                    rf"<{re.escape(tag)}>\n.*?\n</{re.escape(tag)}>", _left_out(tag), kept[index].content, flags=re.DOTALL
                )
                kept[index] = kept[index].with_content(content)
        return kept

    def fit(self, messages: Sequence[Message], count: TokenCounter = estimate_tokens) -> tuple[Message, ...]:
        """Return the messages to send: the same ones if they fit.

        Args:
            messages: The dialogue, opening first, ending with what the model has to answer.
            count: Counts the tokens of a dialogue.

        Raises:
            ContextWindowError: If the dialogue cannot be made to fit.
        """
        limit = self.max_tokens
        if limit is None or count(messages) <= limit:
            return tuple(messages)
        if self.strategy != "keep":
            opening, turns = _split(messages)
            old = max(0, len(turns) - self.keep_turns)
            if self.strategy == "elide_observations":
                turns = [self._elide(turn) if i < old else turn for i, turn in enumerate(turns)]
                if count(_join(opening, turns, 0)) <= limit:
                    return _join(opening, turns, 0)
            for dropped in range(1, old + 1):
                kept = _join(opening, turns, dropped)
                if count(kept) <= limit:
                    return kept
        raise ContextWindowError(
            f"The dialogue has {count(messages)} tokens and cannot be cut to {limit} by the strategy {self.strategy!r}; "
            f"raise max_tokens, or lower max_turns or keep_turns."
        )

    def _elide(self, turn: list[Message]) -> list[Message]:
        """Shorten the observations of a turn."""
        return [message if message.role == "assistant" else self._elided(message) for message in turn]

    def _elided(self, message: Message) -> Message:
        """Shorten one long message in the middle; what it shows is left out."""
        if message.media:
            pieces = split_tags(message.content, message.media)
            content = "".join([piece if isinstance(piece, str) else f"[{piece.kind} left out]" for piece in pieces])
            message = replace(message, content=content, media=())
        cut = len(message.content) - 2 * self.keep_chars
        if cut <= 60:
            return message
        head, tail = message.content[: self.keep_chars], message.content[len(message.content) - self.keep_chars :]
        return replace(message, content=f"{head}\n[... {cut} characters left out ...]\n{tail}")


def _media_tokens(media: Media) -> float:
    """Estimate the tokens of a sound or a picture."""
    if media.kind == "audio":
        return TOKENS_PER_SECOND * (media.seconds or UNKNOWN_SECONDS)
    return (media.width or UNKNOWN_SIDE) * (media.height or UNKNOWN_SIDE) / PIXELS_PER_TOKEN


def _left_out(tag: str) -> str:
    """Return what stands where a block was."""
    return f"<{tag}>(left out: a newer one follows)</{tag}>"


def _split(messages: Sequence[Message]) -> tuple[list[Message], list[list[Message]]]:
    """Split a dialogue into its opening and its turns; a turn is an assistant message and the answers to it."""
    opening: list[Message] = []
    turns: list[list[Message]] = []
    for message in messages:
        if message.role == "assistant":
            turns.append([message])
        elif turns:
            turns[-1].append(message)
        else:
            opening.append(message)
    return opening, turns


def _join(opening: Sequence[Message], turns: Sequence[Sequence[Message]], dropped: int) -> tuple[Message, ...]:
    """Put a dialogue together again without its first `dropped` turns, saying so in the last opening message."""
    head = list(opening)
    if dropped and head:
        note = f"\n\n[{dropped} earlier turn{'s' if dropped > 1 else ''} left out]"
        head[-1] = replace(head[-1], content=head[-1].content + note)
    return (*head, *(message for turn in turns[dropped:] for message in turn))
