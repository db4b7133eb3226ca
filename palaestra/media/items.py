"""Audio and images by content hash, and the tags that name them in a text.

    You hear: <audio sha256=9f86d0... seconds=2.5 rate=16000/>
    You see: <image sha256=60303a... width=32 height=32 type=image/png/>

A tag is exactly what `Media.tag` writes: one form, attributes in this order, defaults left out. Whatever differs from it
by a character is ordinary text. Prose that holds such a tag without meaning it is written `&lt;audio ...` (and `&lt;`
before a tag as `&amp;lt;`), so that every prose has a text form that names nothing.

A message without media has its prose as content. A message with media has its text form as content: the tags in it are
exactly those of `Message.media`. `read_tags` and `write_tags` go from one side to the other and lose nothing.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from palaestra.errors import UsageError

MARK = "sha256="
"""Part of every tag: a text without it names no media, which is quickly seen."""

MediaKind = Literal["audio", "image"]

_COUNT = "[1-9][0-9]{0,6}"
_SECONDS = r"(?:0|[1-9][0-9]{0,6})(?:\.[0-9]{0,2}[1-9])?"
_SUBTYPE = "[a-z0-9][a-z0-9.+-]{0,63}"
_SHA256 = "[0-9a-f]{64}"
_TAG_BODY = (
    rf"(?:audio sha256={_SHA256}(?: seconds={_SECONDS})?(?: rate={_COUNT})?(?: channels=(?!1[ /]){_COUNT})?"
    rf"(?: type=audio/(?!wav/>){_SUBTYPE})?"
    rf"|image sha256={_SHA256}(?: width={_COUNT} height={_COUNT})? type=image/{_SUBTYPE})/>"
)
_TAG = re.compile(f"<{_TAG_BODY}")
_TAG_OR_ESCAPED = re.compile(f"<(?={_TAG_BODY})|&(?=(?:amp;)*lt;{_TAG_BODY})")
_ESCAPED_TAG = re.compile(f"&((?:amp;)*)lt;(?={_TAG_BODY})")
_TYPE = re.compile(f"(?:audio|image)/{_SUBTYPE}")
_NAME = re.compile(_SHA256)
_MOST = 9_999_999


@dataclass(frozen=True, slots=True)
class Media:
    """One sound or picture, named by the hash of its bytes.

    Attributes:
        sha256: SHA-256 of the bytes, 64 hexadecimal digits.
        type: MIME type, "audio/..." or "image/...".
        seconds: Length of a sound, to the millisecond; None if unknown.
        rate: Samples per second of a sound; None if unknown.
        channels: Channels of a sound.
        width: Width of a picture in pixels; None if unknown.
        height: Height of a picture in pixels; None if unknown.

    Raises:
        UsageError: If a value is not of this form.
    """

    sha256: str
    type: str
    seconds: float | None = None
    rate: int | None = None
    channels: int = 1
    width: int | None = None
    height: int | None = None

    def __post_init__(self) -> None:
        """Refuse what no tag could say."""
        if not isinstance(self.sha256, str) or not is_sha256(self.sha256):
            raise UsageError(f"sha256 is {self.sha256!r}; expected 64 hexadecimal digits in small letters.")
        if not isinstance(self.type, str) or not _TYPE.fullmatch(self.type):
            raise UsageError(f"The media type is {self.type!r}; expected a MIME type such as 'audio/wav' or 'image/png'.")
        for name in ("rate", "channels", "width", "height"):
            value = getattr(self, name)
            is_count = isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= _MOST
            if not is_count and (value is not None or name == "channels"):
                raise UsageError(f"{name} of a medium is {value!r}; expected a whole number from 1 to {_MOST:,}.")
        if (self.width is None) != (self.height is None):
            raise UsageError(f"A picture has width {self.width} and height {self.height}; give both or none.")
        if self.seconds is not None:
            if not isinstance(self.seconds, (int, float)) or not 0 <= self.seconds <= _MOST:
                raise UsageError(f"seconds of a medium is {self.seconds!r}; expected a number from 0 to {_MOST:,}.")
            object.__setattr__(self, "seconds", abs(round(float(self.seconds), 3)))  # -0.0 has no tag of its own
        foreign = ("width", "height") if self.kind == "audio" else ("seconds", "rate")
        if any(getattr(self, name) is not None for name in foreign) or (self.kind == "image" and self.channels != 1):
            raise UsageError(f"A medium of type {self.type!r} has no {' or '.join(foreign)}; leave them out.")

    @property
    def kind(self) -> MediaKind:
        """Return "audio" or "image"."""
        return "audio" if self.type.startswith("audio/") else "image"

    @property
    def tag(self) -> str:
        """Return the tag that names this medium in a text."""
        if self.kind == "image":
            size = "" if self.width is None else f" width={self.width} height={self.height}"
            return f"<image sha256={self.sha256}{size} type={self.type}/>"
        parts = [f"<audio sha256={self.sha256}"]
        if self.seconds is not None:
            parts.append(f"seconds={self.seconds:.3f}".rstrip("0").rstrip("."))
        if self.rate is not None:
            parts.append(f"rate={self.rate}")
        if self.channels != 1:
            parts.append(f"channels={self.channels}")
        if self.type != "audio/wav":
            parts.append(f"type={self.type}")
        return " ".join(parts) + "/>"

    def to_json(self) -> dict[str, Any]:
        """Return a plain dict without what is unknown."""
        data: dict[str, Any] = {"kind": self.kind, "sha256": self.sha256, "type": self.type}
        for name in ("seconds", "rate", "width", "height"):
            if (value := getattr(self, name)) is not None:
                data[name] = value
        if self.channels != 1:
            data["channels"] = self.channels
        return data

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Media:
        """Rebuild from `to_json()`."""
        return cls(
            sha256=data["sha256"],
            type=data["type"],
            seconds=data.get("seconds"),
            rate=data.get("rate"),
            channels=data.get("channels", 1),
            width=data.get("width"),
            height=data.get("height"),
        )


def digest(data: bytes) -> str:
    """Return the name of some bytes: their SHA-256 in hexadecimal digits."""
    return hashlib.sha256(data).hexdigest()


def is_sha256(name: str) -> bool:
    """Whether a text is the name of some bytes."""
    return _NAME.fullmatch(name) is not None


def find_media(text: str) -> tuple[Media, ...]:
    """Return the media that the tags of a text name, each once, in the order of their first tags."""
    if MARK not in text:
        return ()
    return tuple(_read_tag(tag) for tag in dict.fromkeys(_TAG.findall(text)))


def read_tags(text: str, holds: Callable[[Media], bool] | None = None) -> tuple[str, tuple[Media, ...]]:
    """Read a text form.

    Args:
        text: Any text.
        holds: Tells which media there are, e.g. `current_media().holds`; tags of others are taken for prose, as suits what a
            model wrote. By default every tag names a medium.

    Returns:
        Content and media of a message: the text as it is if tags name media in it, else the prose it stands for.
    """
    if MARK not in text:
        return text, ()
    media = find_media(text)
    if holds is not None:
        known = {item.tag for item in media if holds(item)}
        text = _TAG.sub(lambda found: found[0] if found[0] in known else escape_tags(found[0]), text)
        media = find_media(text)
    return (text, media) if media else (unescape_tags(text), ())


def write_tags(content: str, media: tuple[Media, ...]) -> str:
    """Write the text form of a message's content; undoes `read_tags`.

    Raises:
        UsageError: If `media` are not those that the tags of `content` name.
    """
    if not media:
        return escape_tags(content)
    named = find_media(content)
    if named != tuple(media):
        raise UsageError(
            f"A message has the media {_names(media)}, but the tags in its content name {_names(named)}. Build both from one "
            f"text with palaestra.media.read_tags; write prose that only looks like a tag with escape_tags."
        )
    return content


def split_tags(content: str, media: Iterable[Media]) -> list[str | Media]:
    """Return a message's content as pieces: prose and media in turn; empty prose is left out."""
    known = {item.tag: item for item in media}
    if not known:
        return [content] if content else []
    pieces: list[str | Media] = []
    position = 0
    for found in _TAG.finditer(content):
        if found[0] not in known:
            continue
        pieces += [unescape_tags(content[position : found.start()]), known[found[0]]]
        position = found.end()
    pieces.append(unescape_tags(content[position:]))
    return [piece for piece in pieces if piece != ""]


def escape_tags(text: str) -> str:
    """Return prose as a text form that names no media."""
    if MARK not in text:
        return text
    return _TAG_OR_ESCAPED.sub(lambda found: "&lt;" if found[0] == "<" else "&amp;", text)


def unescape_tags(text: str) -> str:
    """Undo `escape_tags`."""
    if MARK not in text:
        return text
    return _ESCAPED_TAG.sub(lambda found: f"&{found[1][4:]}lt;" if found[1] else "<", text)


def _names(media: Iterable[Media]) -> str:
    """List media for a message."""
    return ", ".join(f"{item.kind} {item.sha256[:12]}..." for item in media) or "none"


def _read_tag(tag: str) -> Media:
    """Return the item that a tag names."""
    kind, *parts = tag[1:-2].split(" ")
    said = dict(part.split("=", 1) for part in parts)
    numbers = {name: int(said[name]) for name in ("rate", "channels", "width", "height") if name in said}
    seconds = float(said["seconds"]) if "seconds" in said else None
    return Media(said["sha256"], said.get("type", f"{kind}/wav"), seconds, **numbers)


__all__ = [
    "MARK",
    "Media",
    "MediaKind",
    "digest",
    "escape_tags",
    "find_media",
    "is_sha256",
    "read_tags",
    "split_tags",
    "unescape_tags",
    "write_tags",
]
