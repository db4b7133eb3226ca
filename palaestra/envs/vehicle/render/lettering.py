"""Letters drawn as strokes, so that they are sharp at every size without a font.

A letter is a list of strokes of points on a grid of half units: x grows to the right, y downwards; capitals and digits stand
from 0 to 16, small letters from 6, tails reach 20. Each point is two digits of base 36. `~` before a stroke rounds it, `@`
rounds and closes it.
"""

from __future__ import annotations

import unicodedata
from functools import lru_cache
from typing import Literal

import numpy as np

from palaestra.envs.vehicle.render.raster import Array, Canvas, Colour, Mask, capsule_coverage, smooth

CAP = 16.0
SPACE = 7.0
_GAP = 4.5

GLYPHS = {
    "A": "0g50ag 2b8b", "B": "0g00 ~00909707 ~07a7ag0g", "C": "~a3a0000gagad", "D": "0g00 ~00a0ag0g",
    "E": "a0000gag 0888", "F": "a0000g 0888", "G": "~a3a0000gagad ada969", "H": "000g a0ag 08a8", "I": "000g",
    "J": "~808g0g0c", "K": "000g a00a 37ag", "L": "000g9g", "M": "0g006ac0cg", "N": "0g00aga0", "O": "@00a0ag0g",
    "P": "0g00 ~00a0a909", "Q": "@00a0ag0g 6bbh", "R": "0g00 ~00a0a909 59ag", "S": "~a3a00007a9ag0g0d",
    "T": "00a0 505g", "U": "~000gaga0", "V": "005ga0", "W": "003g609gc0", "X": "00ag a00g", "Y": "0058a0 585g",
    "Z": "00a00gag", "a": "~1816868g ~8a0a0g8g8d", "b": "000g @06868g0g", "c": "~8886060g8g8e", "d": "808g @06868g0g",
    "e": "0b8b ~8b86060g8g8e", "f": "~60303g 0666", "g": "@06868g0g ~868k0k0i", "h": "000g ~0a06868g", "i": "060g 0202",
    "j": "~363k0k 3232", "k": "000g 760c 397g", "l": "~000g3g", "m": "060g ~0a06666g ~6a66c6cg", "n": "060g ~0a06868g",
    "o": "@06868g0g", "p": "060k @06868g0g", "q": "868k @06868g0g", "r": "060g ~0b0656", "s": "~7876060a7c7g0g0e",
    "t": "~313g6g 0666", "u": "~060g8g86 868g", "v": "064g86", "w": "063g669gc6", "x": "068g 860g", "y": "064g 862k",
    "z": "06860g8g", "0": "@00909g0g", "1": "13505g", "2": "~030090970g 0g9g", "3": "~0200909737 ~37a7ag0g0d",
    "4": "7g700bab", "5": "900007 ~0755969g0g0d", "6": "@06969g0g ~0b0080", "7": "00903g", "8": "@10808717 @07979g0g",
    "9": "@00909a0a ~959g1g", ".": "0g0g", ",": "1f0i", ":": "0707 0f0f", ";": "1717 1f0i", "!": "000a 0g0g",
    "?": "~030080864b 4g4g", "'": "0004", '"': "0004 3034", "(": "~40000h4h", ")": "~00404h0h", "[": "40000h4h",
    "]": "00404h0h", "/": "0g80", "\\": "008g", "-": "0979", "+": "0989 454d", "=": "0777 0b7b", "_": "0h9h",
    "%": "@00404606 @8acacg8g b01g", "&": "~ag25207075090g6gaa", "#": "301g 907g 05a5 0bab", "*": "434b 0589 8509",
    "<": "74097e", ">": "04790e", "|": "000h", "°": "@00505505", "÷": "0989 4545 4d4d", "·": "0909", "→": "09c9 85c98d",
    "←": "09c9 45094d", "↑": "4g43 074387", "↓": "434g 0c4g8c", "中": "03c3ca0a03 606g", "文": "5072 04c4 940g 34cg",
}  # fmt: skip
_UNKNOWN = "00808g0g00"
_ALIKE = {"–": "-", "—": "-", "’": "'", "‘": "'", "“": '"', "”": '"', "…": ".", "×": "x"}
_DIGIT_WIDTH = 10.0

Align = Literal["left", "middle", "right"]


def write(
    canvas: Canvas,
    x: float,
    y: float,
    text: str,
    colour: Colour,
    *,
    size: float = 8.0,
    align: Align = "left",
    bold: bool = False,
    alpha: float = 1.0,
    room: float | None = None,
) -> float:
    """Write a line of text.

    Args:
        canvas: Where.
        x: Left end, middle or right end, in design units.
        y: Middle of the capitals.
        text: What; letters without a shape here become boxes.
        colour: RGB, 0 to 255.
        size: Height of capitals in design units.
        align: What `x` means.
        bold: Thicker strokes.
        alpha: How opaque it is.
        room: Width in design units to which the text is cut; None for all of it.

    Returns:
        Width of the text in design units.
    """
    pixels = max(4, round(size * canvas.scale))
    unit = pixels / CAP
    if room is not None:
        text = fitted(text, room * canvas.scale / unit)
    mask = _text(text, pixels, bold)
    width = text_width(text) * unit
    left = x * canvas.scale - (0.0 if align == "left" else width if align == "right" else width / 2)
    if mask is not None:
        canvas.stamp(mask, round(left), round(y * canvas.scale - pixels / 2), colour, alpha)
    return width / canvas.scale


def text_width(text: str) -> float:
    """Return the width of a text in half units of the letters' grid."""
    return max(0.0, sum(_strokes(letter)[1] + _GAP for letter in _plain(text)) - _GAP)


@lru_cache(maxsize=2048)
def fitted(text: str, width: float) -> str:
    """Cut a text to a width in half units; dots tell that it was cut."""
    if text_width(text) <= width:
        return text
    while text and text_width(f"{text}..") > width:
        text = text[:-1]
    return f"{text.rstrip()}.."


@lru_cache(maxsize=2048)
def _text(text: str, pixels: int, bold: bool) -> Mask | None:
    """Return the coverage of a text whose capitals are so many pixels high, its top left corner at (0, 0)."""
    unit = pixels / CAP
    pieces: list[Array] = []
    at = 0.0
    for letter in _plain(text):
        segments, width = _strokes(letter)
        if len(segments):
            pieces.append((segments + np.array((at, 0.0))) * unit)
        at += width + _GAP
    if not pieces:
        return None
    thickness = max(1.05, pixels * (0.19 if bold else 0.135))
    return capsule_coverage(np.concatenate(pieces) + 0.5, thickness / 2)


def _plain(text: str) -> str:
    """Return a text in letters that have a shape, accents left out."""
    letters = []
    for letter in text:
        known = _ALIKE.get(letter, letter)
        if known not in GLYPHS and known != " ":
            known = unicodedata.normalize("NFKD", known)[:1]
        letters.append(known)
    return "".join(letters)


@lru_cache(maxsize=256)
def _strokes(letter: str) -> tuple[Array, float]:
    """Return the segments of a letter on its grid, shape (n, 2, 2), and its width."""
    if letter == " ":
        return np.empty((0, 2, 2)), SPACE - _GAP
    pieces: list[Array] = []
    width = 0.0
    for stroke in GLYPHS.get(letter, _UNKNOWN).split():
        shape = stroke.lstrip("~@")
        points = np.array([(int(shape[i], 36), int(shape[i + 1], 36)) for i in range(0, len(shape), 2)], np.float64)
        width = max(width, float(points[:, 0].max()))
        if stroke[0] == "@":
            points = smooth(points)
            points = np.concatenate([points, points[:1]])
        elif stroke[0] == "~":
            points = smooth(points, closed=False)
        pieces.append(np.stack([points[:-1], points[1:]], axis=1))
    if letter.isdigit():
        segments = np.concatenate(pieces) + np.array(((_DIGIT_WIDTH - width) / 2, 0.0))
        return segments, _DIGIT_WIDTH
    return np.concatenate(pieces), width
