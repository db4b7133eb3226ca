"""Sounds and pictures as OpenAI chat-completions JSON: content parts out, `message.audio` in.

Only users may send parts. What a system message or a tool result shows is sent by the next message of a user, and a number
stands where it was; of an assistant's own sounds the words are sent back, as servers take nothing else.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping, Sequence

from palaestra.errors import ModelError, UsageError
from palaestra.media.headers import recognise
from palaestra.media.items import Media, escape_tags, split_tags
from palaestra.media.store import MediaStore, current_media
from palaestra.types import Json, Message
from palaestra.types.openai_form import media_part, text_of_parts

_AUDIO_TYPES = {"wav": "audio/wav", "mp3": "audio/mpeg", "flac": "audio/flac", "opus": "audio/ogg", "aac": "audio/aac"}
_PCM_RATE = 24_000  # of raw samples, which the format "pcm16" stands for


def with_media(
    messages: Sequence[Message], wired: Sequence[dict[str, Json]], store: MediaStore | None = None
) -> list[dict[str, Json]]:
    """Return the messages as they are sent, with content parts for what they show.

    A tag whose bytes are not in the store stays text: it may be something that a model has made up.

    Args:
        messages: The dialogue.
        wired: The same messages as JSON, their content as text.
        store: Where the bytes are; the current store by default.

    Raises:
        UnsupportedMediaError: If a sound is neither WAV nor MP3.
    """
    store = store or current_media()
    sent: list[dict[str, Json]] = []
    waiting: list[Json] = []
    num_shown = 0
    for message, data in zip(messages, wired, strict=True):
        parts = [_part(piece, store) for piece in split_tags(message.content, message.media)]
        if message.role == "user":
            content = [*waiting, *parts]
            shows = any(part["type"] != "text" for part in content)
            sent.append({**data, "content": content} if shows else data)
            waiting = []
            continue
        if message.role == "assistant" and waiting:
            sent.append({"role": "user", "content": waiting})
            waiting = []
        if message.media and data.get("content") == message.content:
            texts: list[str] = []
            for part in parts:
                if part["type"] == "text":
                    texts.append(part["text"])
                elif message.role != "assistant":
                    num_shown += 1
                    kind = "image" if part["type"] == "image_url" else "audio"
                    texts.append(f"({kind} {num_shown})")
                    waiting += [{"type": "text", "text": f"{kind.capitalize()} {num_shown}:"}, part]
            data = {**data, "content": "".join(texts).strip() or "(audio)"}
        sent.append(data)
    if waiting:
        sent.append({"role": "user", "content": waiting})
    return sent


def audio_answer(content: str, audio: Json, format: str) -> tuple[str, tuple[Media, ...]]:
    """Read the audio of an answer into the current store.

    Args:
        content: Text of the answer; the transcript takes its place if there is none.
        audio: The message's `audio`: `data` in base64, `transcript`.
        format: Format that was asked for, which tells what bytes without a header are.

    Returns:
        Content and media of the message: the text, and then the tag.

    Raises:
        ModelError: If the audio cannot be read.
    """
    if not isinstance(audio, Mapping) or not audio.get("data"):
        return content, ()
    try:
        data = base64.b64decode(audio["data"], validate=True)
        if format == "pcm16":
            data = _wav_of_samples(data)
        media = current_media().put(data, "" if recognise(data) else _AUDIO_TYPES.get(format, ""))
        if media.kind != "audio":
            raise UsageError(f"it is {media.type}")
    except (binascii.Error, TypeError, ValueError) as error:  # a UsageError is a ValueError
        raise ModelError(f"The audio of the server's answer cannot be read ({error}).", retryable=True) from None
    transcript = audio.get("transcript")
    text = escape_tags(content or (transcript if isinstance(transcript, str) else ""))
    return f"{text}\n{media.tag}" if text else media.tag, (media,)


def _part(piece: str | Media, store: MediaStore) -> dict[str, Json]:
    """Return one content part."""
    if isinstance(piece, str):
        return media_part(piece)
    data = store.find(piece)
    return media_part(piece.tag) if data is None else media_part(piece, data)


def _wav_of_samples(data: bytes) -> bytes:
    """Return raw samples of 16 bits as a WAV file."""
    import numpy as np  # text alone needs neither

    from palaestra.media.making import wav_bytes

    return wav_bytes(np.frombuffer(data[: len(data) // 2 * 2], "<i2"), _PCM_RATE)


__all__ = ["audio_answer", "text_of_parts", "with_media"]
