"""Sounds and pictures made from numbers: the same bytes on every platform, because their hash is their name.

WAV and PNG are written by the standard library alone. PNG data is stored uncompressed unless asked otherwise: what a
compressor writes depends on its version.
"""

from __future__ import annotations

import io
import struct
import wave
import zlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

from palaestra.errors import UsageError
from palaestra.media.headers import read_wave

_STORED_BYTES = 65_535  # longest block that DEFLATE stores as it is


def wav_bytes(samples: NDArray[Any], rate: int) -> bytes:
    """Return samples as a WAV file of 16 bits.

    Args:
        samples: Shape (n,) or (n, channels): whole numbers of 16 bits, or floats from -1 to 1.
        rate: Samples per second.

    Raises:
        UsageError: If the samples are not finite, out of range, or of another shape or type.
    """
    array = np.asarray(samples)
    if array.ndim not in (1, 2) or array.dtype.kind not in "if":
        raise UsageError(f"The samples are {array.dtype} of shape {array.shape}; expected numbers of shape (n[, channels]).")
    if array.dtype.kind == "f":
        if not np.isfinite(array).all() or (array.size and np.abs(array).max() > 1):
            raise UsageError("The samples are not all finite and from -1 to 1; divide them by their largest value.")
        array = np.round(array.astype(np.float64) * 32767)
    elif array.size and (array.min() < -32768 or array.max() > 32767):
        raise UsageError(f"The samples reach from {array.min()} to {array.max()}; expected whole numbers of 16 bits.")
    file = io.BytesIO()
    with wave.open(file, "wb") as out:
        out.setnchannels(1 if array.ndim == 1 else array.shape[1])
        out.setsampwidth(2)
        out.setframerate(rate)
        out.writeframes(array.astype("<i2").tobytes())
    return file.getvalue()


def read_wav(data: bytes) -> tuple[NDArray[np.float32], int]:
    """Return the samples of a WAV file as floats from -1 to 1, shape (n, channels), and its rate.

    Raises:
        UsageError: If it is not a WAV file of 8, 16, 24 or 32 bits PCM or 32 bits floating point.
    """
    head = read_wave(data)
    body = data[head.start : head.start + head.num_frames * head.channels * head.bits // 8]
    if (head.code, head.bits) == (3, 32):
        samples = np.nan_to_num(np.frombuffer(body, "<f4"), nan=0.0, posinf=1.0, neginf=-1.0).clip(-1, 1)
    elif head.code == 1 and head.bits == 8:
        samples = (np.frombuffer(body, "u1").astype(np.float32) - 128) / 128
    elif head.code == 1 and head.bits in (16, 32):
        samples = np.frombuffer(body, f"<i{head.bits // 8}").astype(np.float64) / 2.0 ** (head.bits - 1)
    elif head.code == 1 and head.bits == 24:
        wide = np.zeros((len(body) // 3, 4), "u1")
        wide[:, 1:] = np.frombuffer(body, "u1").reshape(-1, 3)
        samples = wide.view("<i4")[:, 0].astype(np.float64) / 2.0**31
    else:
        raise UsageError(f"A WAV file has coding {head.code} with {head.bits} bits; expected PCM of 8 to 32 bits, or floats.")
    return samples.astype(np.float32).reshape(-1, head.channels), head.rate


def tone(frequency_hz: int, seconds: float, *, rate: int = 16_000, loudness: float = 0.3) -> bytes:
    """Return a tone as a WAV file.

    The wave is a sine's parabolic approximation in whole numbers, because sines differ between platforms in the last digit.

    Args:
        frequency_hz: Cycles per second, below half the rate.
        seconds: Length.
        rate: Samples per second.
        loudness: Largest sample, 1 is full scale.
    """
    if not 0 < frequency_hz < rate / 2:
        raise UsageError(f"The frequency is {frequency_hz} Hz; expected above 0 and below half the rate, {rate / 2:g} Hz.")
    phase = np.arange(round(seconds * rate), dtype=np.int64) * frequency_hz % rate * 2  # two rates are one cycle
    half = phase % rate
    height = 4 * half * (rate - half) * round(32767 * loudness) // rate**2
    return wav_bytes(np.where(phase < rate, height, -height), rate)


def png_bytes(pixels: NDArray[Any], *, compress: bool = False) -> bytes:
    """Return pixels as a PNG file.

    Args:
        pixels: Whole numbers from 0 to 255 of shape (height, width) for grey, or (height, width, 3 or 4) for RGB and RGBA.
        compress: Compress it; the bytes then depend on the compressor's version.

    Raises:
        UsageError: If the pixels have another shape or type.
    """
    array = np.asarray(pixels)
    colour = {2: 0, 3: {3: 2, 4: 6}.get(array.shape[-1]) if array.ndim == 3 else None}.get(array.ndim)
    if array.dtype != np.uint8 or colour is None or 0 in array.shape:
        raise UsageError(
            f"The pixels are {array.dtype} of shape {array.shape}; expected uint8 of shape (height, width[, 3 or 4])."
        )
    height, width = array.shape[:2]
    rows = np.zeros((height, 1 + array[0].size), np.uint8)  # a filter byte of 0 opens every row
    rows[:, 1:] = array.reshape(height, -1)
    packed = zlib.compress(rows.tobytes()) if compress else _stored(rows.tobytes())
    head = struct.pack(">IIBBBBB", width, height, 8, colour, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", head) + _chunk(b"IDAT", packed) + _chunk(b"IEND", b"")


def _stored(data: bytes) -> bytes:
    """Return data as a zlib stream of stored blocks."""
    blocks = [data[at : at + _STORED_BYTES] for at in range(0, len(data), _STORED_BYTES)]
    stream = [b"\x78\x01"]
    for i, block in enumerate(blocks):
        stream += [struct.pack("<BHH", i == len(blocks) - 1, len(block), len(block) ^ 0xFFFF), block]
    return b"".join([*stream, struct.pack(">I", zlib.adler32(data))])


def _chunk(name: bytes, data: bytes) -> bytes:
    """Return one chunk of a PNG file."""
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


__all__ = ["png_bytes", "read_wav", "tone", "wav_bytes"]
