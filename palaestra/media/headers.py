"""What some bytes are: kind, type, length or size, read from their first bytes without decoding them.

Known are WAV, MP3, FLAC and Ogg, PNG, JPEG, GIF and WebP. Of other types only the caller knows what they are.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

from palaestra.errors import UsageError
from palaestra.media.items import Media, digest

SUFFIXES = {
    "audio/wav": ".wav",
    "audio/mpeg": ".mp3",
    "audio/flac": ".flac",
    "audio/ogg": ".ogg",
    "image/png": ".png",
    "image/jpeg": ".jpg",
    "image/gif": ".gif",
    "image/webp": ".webp",
}
"""Types that are recognised, and the ends of their file names."""

TELLING = frozenset({"audio/wav", "image/png", "image/jpeg", "image/gif", "image/webp"})
"""Types whose bytes tell all measures; of others, length and rate are what the caller says."""

_SAME = {"audio/x-wav": "audio/wav", "audio/wave": "audio/wav", "audio/mp3": "audio/mpeg", "image/jpg": "image/jpeg"}


class Wave(NamedTuple):
    """Header of a WAV file.

    Attributes:
        rate: Samples per second.
        channels: Number of channels.
        bits: Bits of one sample.
        code: Coding of the samples: 1 is PCM in whole numbers, 3 floating point.
        start: Position of the first sample.
        num_frames: Frames (one sample a channel) that are really there, whatever the header claims.
    """

    rate: int
    channels: int
    bits: int
    code: int
    start: int
    num_frames: int


def describe(data: bytes, type: str = "", *, seconds: float | None = None, rate: int | None = None) -> Media:
    """Return the name and description of some bytes.

    Args:
        data: A whole file.
        type: Its MIME type; read from the first bytes where they tell.
        seconds: Length of a sound, where the file does not tell.
        rate: Samples per second of a sound, where the file does not tell.

    Raises:
        UsageError: If the bytes are of no known type and `type` is not given, are not what `type` says, or are damaged.
    """
    if not isinstance(data, (bytes, bytearray, memoryview)):
        raise UsageError(f"describe() got a {data.__class__.__name__}; expected the bytes of a whole file.")
    if not isinstance(type, str):
        raise UsageError(f"type is {type!r}; expected a MIME type such as 'audio/wav', or '' to read it from the bytes.")
    data = bytes(data)
    return _described(digest(data), data, type, seconds, rate)


def told_by_bytes(media: Media, data: bytes) -> Media | None:
    """Return the item that bytes describe themselves; None if they do not tell all measures of the medium's type.

    Args:
        media: What they are said to be.
        data: The bytes whose hash it has.
    """
    if media.type not in TELLING:
        return None
    try:
        return _described(media.sha256, data, media.type)
    except UsageError:
        return None


def recognise(data: bytes) -> str:
    """Return the MIME type that the first bytes tell; empty if none is known."""
    if data[:4] == b"RIFF":
        return {b"WAVE": "audio/wav", b"WEBP": "image/webp"}.get(data[8:12], "")
    if data[:3] == b"ID3" or (data[:1] == b"\xff" and len(data) > 1 and data[1] & 0xE6 in (0xE2, 0xE4, 0xE6)):
        return "audio/mpeg"
    for start, type in (
        (b"\x89PNG\r\n\x1a\n", "image/png"),
        (b"\xff\xd8\xff", "image/jpeg"),
        (b"GIF87a", "image/gif"),
        (b"GIF89a", "image/gif"),
        (b"fLaC", "audio/flac"),
        (b"OggS", "audio/ogg"),
    ):
        if data.startswith(start):
            return type
    return ""


def read_wave(data: bytes) -> Wave:
    """Read the header of a WAV file.

    Lengths in it are not trusted: servers that stream write sizes of 0 or 4 GiB.

    Raises:
        UsageError: If the bytes are not a WAV file with samples.
    """
    position, head = 12, None
    while data[:4] == b"RIFF" and data[8:12] == b"WAVE" and position + 8 <= len(data):
        name, size = data[position : position + 4], int.from_bytes(data[position + 4 : position + 8], "little")
        position += 8
        if name == b"fmt " and position + 16 <= len(data):
            code, channels, rate, _, frame_bytes, bits = struct.unpack_from("<HHIIHH", data, position)
            if code == 0xFFFE and position + 26 <= len(data):  # extensible: the real coding opens a longer identifier
                code = int.from_bytes(data[position + 24 : position + 26], "little")
            head = (rate, channels, bits, code, frame_bytes)
        elif name == b"data" and head is not None:
            rate, channels, bits, code, frame_bytes = head
            if not (0 < rate < 10_000_000 and channels and frame_bytes):
                break
            there = len(data) - position
            size = there if size == 0 or size > there else size
            return Wave(rate, channels, bits, code, position, size // frame_bytes)
        position += size + size % 2
    raise UsageError(
        f"These {len(data):,} bytes are not a WAV file with samples (begins {data[:12]!r}); write one with wav_bytes()."
    )


def _described(name: str, data: bytes, type: str, seconds: float | None = None, rate: int | None = None) -> Media:
    """Return the description of bytes whose hash is known."""
    found, wanted = recognise(data), _SAME.get(type, type)
    if not found and not wanted:
        raise UsageError(
            f"These {len(data):,} bytes ({data[:8]!r}...) are of no known type; expected {', '.join(SUFFIXES)}, or name their "
            f"MIME type."
        )
    if wanted in SUFFIXES and found != wanted:
        raise UsageError(
            f"These {len(data):,} bytes ({data[:8]!r}...) should be {wanted!r} but are {found or 'nothing known'!r}; give the "
            f"right type, or leave it out."
        )
    kind = wanted or found
    try:
        if kind == "audio/wav":
            wave = read_wave(data)
            return Media(name, kind, wave.num_frames / wave.rate, wave.rate, wave.channels)
        if kind.startswith("image/"):
            width, height = _size(data, kind)
            return Media(name, kind, width=width, height=height)
    except (struct.error, IndexError):
        raise UsageError(
            f"These {len(data):,} bytes begin as {kind!r} but are cut off or damaged; give all of them."
        ) from None
    return Media(name, kind, seconds, rate)


def _size(data: bytes, kind: str) -> tuple[int | None, int | None]:
    """Return width and height of a picture; None for types that are not known."""
    if kind == "image/png":
        width, height = struct.unpack_from(">II", data, 16)
    elif kind == "image/gif":
        width, height = struct.unpack_from("<HH", data, 6)
    elif kind == "image/webp":
        width, height = _webp_size(data)
    elif kind == "image/jpeg":
        width, height = _jpeg_size(data)
    else:
        return None, None
    if not (0 < width < 10_000_000 and 0 < height < 10_000_000):
        raise UsageError(f"A picture of type {kind!r} says it is {width} by {height} pixels; give a whole, undamaged file.")
    return width, height


def _jpeg_size(data: bytes) -> tuple[int, int]:
    """Return width and height from the first frame header of a JPEG file."""
    position = 2
    while True:
        while data[position] == 0xFF and data[position + 1] == 0xFF:  # any number of fill bytes may stand before a marker
            position += 1
        marker, size = data[position + 1], struct.unpack_from(">H", data, position + 2)[0]
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            height, width = struct.unpack_from(">HH", data, position + 5)
            return width, height
        position += 2 + max(size, 2)


def _webp_size(data: bytes) -> tuple[int, int]:
    """Return width and height of the three kinds of WebP files."""
    chunk = data[12:16]
    if chunk == b"VP8X":
        width, height = (int.from_bytes(data[at : at + 3], "little") + 1 for at in (24, 27))
    elif chunk == b"VP8L":
        bits = struct.unpack_from("<I", data, 21)[0]
        width, height = (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    else:
        width, height = (value & 0x3FFF for value in struct.unpack_from("<HH", data, 26))
    return width, height


__all__ = ["SUFFIXES", "TELLING", "Wave", "describe", "read_wave", "recognise", "told_by_bytes"]
