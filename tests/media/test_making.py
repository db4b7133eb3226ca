import hashlib
import io
import wave

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from palaestra.errors import UsageError
from palaestra.media import png_bytes, read_wav, tone, wav_bytes

Image = pytest.importorskip("PIL.Image")


@given(hnp.arrays(np.int16, st.tuples(st.integers(0, 40), st.integers(1, 3))), st.sampled_from([8000, 16_000]))
def test_samples_survive_a_wav_file(samples, rate):
    data = wav_bytes(samples, rate)
    read, read_rate = read_wav(data)
    assert read_rate == rate
    assert np.array_equal(np.round(read * 32768).astype(int), samples)
    with wave.open(io.BytesIO(data)) as file:
        assert file.readframes(file.getnframes()) == samples.astype("<i2").tobytes()


@given(hnp.arrays(np.float32, st.integers(0, 40), elements=st.floats(-1, 1, width=32)))
def test_floats_come_back_within_a_step_of_sixteen_bits(samples):
    read, _ = read_wav(wav_bytes(samples, 8000))
    assert np.abs(read[:, 0] - samples).max(initial=0) <= 2 / 32768


@pytest.mark.parametrize("bits", [8, 16, 24, 32])
def test_pcm_of_every_width_is_read(bits):
    values = np.array([-(2 ** (bits - 1)), -1, 0, 1, 2 ** (bits - 1) - 1])
    raw = b"".join(int(v + (128 if bits == 8 else 0)).to_bytes(bits // 8, "little", signed=bits != 8) for v in values)
    file = io.BytesIO()
    with wave.open(file, "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(bits // 8)
        out.setframerate(8000)
        out.writeframes(raw)
    read, _ = read_wav(file.getvalue())
    assert np.array_equal(read[:, 0], (values / 2.0 ** (bits - 1)).astype(np.float32))


def test_a_wav_file_of_floats_is_read_and_its_nonsense_tamed():
    body = np.array([0.5, -2.0, np.nan, np.inf], "<f4").tobytes()
    head = b"RIFF\0\0\0\0WAVEfmt " + (16).to_bytes(4, "little") + np.array([3, 1], "<u2").tobytes()
    head += np.array([8000, 32_000], "<u4").tobytes() + np.array([4, 32], "<u2").tobytes() + b"data\0\0\0\0"
    assert read_wav(head + body)[0][:, 0].tolist() == [0.5, -1.0, 0.0, 1.0]
    with pytest.raises(UsageError, match="coding 3 with 64 bits"):
        read_wav(head.replace(bytes([4, 0, 32, 0]), bytes([8, 0, 64, 0])) + body)


@given(st.integers(50, 3000))
def test_a_tone_has_its_frequency_and_loudness(frequency):
    samples, rate = read_wav(tone(frequency, 1.0, loudness=0.5))
    strength = np.abs(np.fft.rfft(samples[:, 0]))
    assert (rate, len(samples)) == (16_000, 16_000)
    assert strength.argmax() == frequency
    assert strength[frequency] > 0.99 * np.sqrt((strength**2).sum())
    assert np.abs(samples).max() <= 0.5


def test_tones_and_pictures_are_the_same_bytes_on_every_platform():
    pixels = (np.arange(200 * 120 * 3) % 251).astype(np.uint8).reshape(200, 120, 3)  # more than one stored block
    assert hashlib.sha256(tone(440, 0.1)).hexdigest().startswith("b4bfee945eb2")
    assert hashlib.sha256(png_bytes(pixels)).hexdigest().startswith("ea4c592a9ea9")


@given(
    hnp.arrays(
        np.uint8,
        st.tuples(st.integers(1, 9), st.integers(1, 9), st.sampled_from([0, 3, 4])).map(lambda s: s if s[2] else s[:2]),
    ),
    st.booleans(),
)
def test_pixels_survive_a_png_file(pixels, compress):
    with Image.open(io.BytesIO(png_bytes(pixels, compress=compress))) as picture:
        assert np.array_equal(np.asarray(picture), pixels)


def test_a_large_picture_is_whole():
    pixels = np.random.default_rng(0).integers(0, 256, (300, 200, 3), np.uint8)
    with Image.open(io.BytesIO(png_bytes(pixels))) as picture:
        assert np.array_equal(np.asarray(picture), pixels)


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda: wav_bytes(np.array([0.5, np.nan]), 8000), "finite and from -1 to 1"),
        (lambda: wav_bytes(np.array([1.5]), 8000), "finite and from -1 to 1"),
        (lambda: wav_bytes(np.array([40_000]), 8000), "reach from 40000 to 40000"),
        (lambda: wav_bytes(np.zeros((2, 2, 2)), 8000), "expected numbers of shape"),
        (lambda: wav_bytes(np.array(["a"]), 8000), "expected numbers of shape"),
        (lambda: tone(8000, 1), "below half the rate"),
        (lambda: tone(0, 1), "below half the rate"),
        (lambda: png_bytes(np.zeros((3, 3))), "expected uint8"),
        (lambda: png_bytes(np.zeros((3, 3, 2), np.uint8)), "expected uint8"),
        (lambda: png_bytes(np.zeros((0, 3), np.uint8)), "expected uint8"),
        (lambda: png_bytes(np.zeros(3, np.uint8)), "expected uint8"),
    ],
)
def test_what_is_neither_sound_nor_picture_is_refused(make, told):
    with pytest.raises(UsageError, match=told):
        make()
