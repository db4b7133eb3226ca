import contextlib
import io
import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from palaestra.errors import UsageError
from palaestra.media import describe, png_bytes, tone, wav_bytes
from palaestra.media.headers import SUFFIXES, read_wave, recognise

Image = pytest.importorskip("PIL.Image")

TONE = tone(440, 0.25, rate=8000)
PICTURE = png_bytes(np.zeros((3, 5, 3), np.uint8))


def drawn(format: str, width: int, height: int, mode: str = "RGB", **options) -> bytes:
    file = io.BytesIO()
    Image.new(mode, (width, height), 7).save(file, format, **options)
    return file.getvalue()


@pytest.mark.parametrize(
    ("format", "type", "options"),
    [
        ("PNG", "image/png", {}),
        ("JPEG", "image/jpeg", {}),
        ("JPEG", "image/jpeg", {"progressive": True, "comment": b"\xff\xc0 no marker" * 9}),
        ("GIF", "image/gif", {}),
        ("WEBP", "image/webp", {}),
        ("WEBP", "image/webp", {"lossless": True}),
        ("WEBP", "image/webp", {"exif": b"Exif\0\0"}),
    ],
)
@pytest.mark.parametrize("size", [(1, 1), (7, 300), (640, 480)])
def test_pictures_tell_their_size(format, type, options, size):
    data = drawn(format, *size, **options)
    media = describe(data)
    assert (media.type, media.width, media.height) == (type, *size)
    assert describe(data, type) == media


@given(st.integers(1, 3), st.integers(0, 50), st.sampled_from([8000, 16_000, 44_100]))
def test_sounds_tell_length_rate_and_channels(channels, frames, rate):
    media = describe(wav_bytes(np.zeros((frames, channels), np.int16), rate))
    assert (media.channels, media.rate, media.seconds) == (channels, rate, round(frames / rate, 3))


@pytest.mark.parametrize("size", [0, 0xFFFFFFFF, 10_000])
def test_the_length_of_a_sound_is_what_is_there_whatever_the_header_says(size):
    at = TONE.index(b"data") + 4
    assert describe(TONE[:at] + struct.pack("<I", size) + TONE[at + 4 :]).seconds == 0.25


def test_a_sound_that_is_cut_off_is_as_long_as_what_is_left():
    assert describe(TONE[: len(TONE) // 2]).seconds == pytest.approx(0.125, abs=0.01)


def test_further_chunks_and_the_extensible_form_are_read():
    extra = b"LIST" + struct.pack("<I", 3) + b"abc\0"  # odd sizes are padded
    fmt = struct.pack("<HHIIHH", 0xFFFE, 2, 48_000, 192_000, 4, 16) + struct.pack("<HHIH", 22, 16, 3, 1) + b"\0" * 14
    data = (
        b"RIFF\0\0\0\0WAVE" + extra + b"fmt " + struct.pack("<I", len(fmt)) + fmt + b"data" + struct.pack("<I", 8) + b"\0" * 8
    )
    assert read_wave(data)._replace(start=0) == (48_000, 2, 16, 1, 0, 2)


def test_a_type_is_told_where_the_bytes_do_not():
    media = describe(b"some codec", "audio/x-codec", seconds=1.5, rate=24_000)
    assert (media.type, media.seconds, media.rate) == ("audio/x-codec", 1.5, 24_000)
    assert describe(b"drawing", "image/avif").width is None
    assert describe(b"ID3\x04 some sound", "audio/mp3", seconds=3).type == "audio/mpeg"
    assert recognise(b"\xff\xfb\x90\x64") == recognise(b"\xff\xf3\x84") == "audio/mpeg"


@pytest.mark.parametrize(
    ("data", "type", "told"),
    [
        (b"hello", "", "of no known type"),
        (b"", "", "of no known type"),
        (PICTURE, "image/jpeg", "should be 'image/jpeg' but are 'image/png'"),
        (b"hello", "audio/wav", "should be 'audio/wav' but are 'nothing known'"),
        (TONE, "text/html", "expected a MIME type"),
        (PICTURE[:20], "", "cut off or damaged"),
        (drawn("JPEG", 9, 9)[:40], "", "cut off or damaged"),
        (drawn("WEBP", 9, 9)[:27], "", "cut off or damaged"),
        (drawn("GIF", 9, 9)[:7], "", "cut off or damaged"),
        (PICTURE[:16] + b"\0" * 20, "", "0 by 0 pixels"),
        (TONE[:30], "", "not a WAV file with samples"),
        (TONE.replace(struct.pack("<I", 8000), struct.pack("<I", 0)), "", "not a WAV file with samples"),
        (b"RIFF\0\0\0\0WAVE", "", "not a WAV file with samples"),
    ],
)
def test_bytes_that_are_not_what_they_should_be_are_one_clear_error(data, type, told):
    with pytest.raises(UsageError, match=told):
        describe(data, type)


@pytest.mark.parametrize("type", [5, None, b"audio/wav", ["audio/wav"]])
def test_a_type_that_is_no_text_is_one_clear_error(type):
    with pytest.raises(UsageError, match="expected a MIME type such as 'audio/wav'"):
        describe(TONE, type)


@pytest.mark.parametrize("data", ["text", None, 5, [1]])
def test_what_is_no_bytes_is_one_clear_error(data):
    with pytest.raises(UsageError, match=r"describe\(\) got a .*; expected the bytes of a whole file"):
        describe(data)


@given(
    st.sampled_from([TONE, PICTURE, *(drawn(f, 4, 4) for f in ("JPEG", "GIF", "WEBP"))]),
    st.integers(0, 120),
    st.integers(0, 120),
    st.binary(max_size=8),
)
def test_no_bytes_whatever_raise_anything_else(data, cut, at, noise):
    broken = (data[:at] + noise + data[at + len(noise) :])[: len(data) - cut]
    with contextlib.suppress(UsageError):
        assert describe(broken).type in SUFFIXES
