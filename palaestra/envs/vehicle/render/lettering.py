"""Writing on a canvas in DejaVu Sans, a free font for many scripts that comes with matplotlib.

A line is drawn at four times its size and made smaller, so that letters stand where they belong and not on whole pixels.
Letters that the font does not have (Chinese, say) become boxes.
"""

from __future__ import annotations

from functools import cache, lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

from palaestra.envs.vehicle.render.canvas import Canvas, Colour, Mask
from palaestra.errors import MissingExtraError

try:
    from PIL import Image, ImageDraw, ImageFont
except ImportError:
    raise MissingExtraError("Pictures of the car (rgb_array)", "plots") from None

_FINE = 4  # times as large as the picture is text drawn
_CONTRAST = 0.75
_CAP = 0.729  # height of capitals of a font of size 1

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
        text: What; letters that the font does not have become boxes.
        colour: RGB, 0 to 255.
        size: Height of capitals in design units.
        align: What `x` means.
        bold: Thicker letters.
        alpha: How opaque it is.
        room: Width in design units to which the text is cut; None for all of it.

    Returns:
        Width of the text in design units.
    """
    pixels = max(4.0, size * canvas.scale)
    if room is not None:
        text = fitted(text, room * canvas.scale, pixels, bold)
    width = text_width(text, pixels, bold)
    left = x * canvas.scale - (0.0 if align == "left" else width if align == "right" else width / 2)
    canvas.stamp(_text(text, pixels, bold, round(255 * alpha)), colour, round(left), round(y * canvas.scale + pixels / 2))
    return width / canvas.scale


def text_width(text: str, pixels: float, bold: bool = False) -> float:
    """Return the width of a text in pixels whose capitals are so many pixels high."""
    return float(_font(pixels, bold).getlength(_line(text))) / _FINE


@lru_cache(maxsize=2048)
def fitted(text: str, width: float, pixels: float, bold: bool = False) -> str:
    """Cut a text to a width in pixels; dots tell that it was cut."""
    if text_width(text, pixels, bold) <= width:
        return text
    while text and text_width(f"{text}..", pixels, bold) > width:
        text = text[:-1]
    return f"{text.rstrip()}.."


@lru_cache(maxsize=2048)
def _text(text: str, pixels: float, bold: bool, alpha: int) -> Mask | None:
    """Return the coverage of a text; (0, 0) is the left end of its base line."""
    font, line = _font(pixels, bold), _line(text)
    low_x, low_y, high_x, high_y = font.getbbox(line, anchor="ls")
    left, top = int(low_x // _FINE), int(low_y // _FINE)
    columns, rows = -int(-high_x // _FINE) - left, -int(-high_y // _FINE) - top
    if columns <= 0 or rows <= 0 or alpha <= 0:
        return None
    fine = Image.new("L", (columns * _FINE, rows * _FINE))
    ImageDraw.Draw(fine).text((-left * _FINE, -top * _FINE), line, fill=255, font=font, anchor="ls")
    return Mask(left, top, fine.reduce(_FINE).point(_weights(alpha)))


@lru_cache(maxsize=256)
def _weights(alpha: int) -> list[int]:
    """Return what each coverage counts; thin strokes count more, or light letters on a dark ground would look thin."""
    return [round(alpha * (cover / 255) ** _CONTRAST) for cover in range(256)]


def _line(text: str) -> str:
    """Return a text as one line of letters that can be drawn: what is not printable becomes a space."""
    return text if text.isprintable() else "".join(letter if letter.isprintable() else " " for letter in text)


@lru_cache(maxsize=64)
def _font(pixels: float, bold: bool) -> ImageFont.FreeTypeFont:
    """Return the font whose capitals are so many pixels high, for drawing at four times the size."""
    # without the shaper that some installations have: every one draws the same
    return ImageFont.truetype(_folder() / f"DejaVuSans{'-Bold' if bold else ''}.ttf", pixels / _CAP * _FINE,
                              layout_engine=ImageFont.Layout.BASIC)  # fmt: skip


@cache
def _folder() -> Path:
    """Return where matplotlib keeps its fonts; matplotlib itself is not loaded."""
    found = find_spec("matplotlib")
    if found is None or found.origin is None:
        raise MissingExtraError("Pictures of the car (rgb_array)", "plots")
    return Path(found.origin).parent / "mpl-data" / "fonts" / "ttf"
