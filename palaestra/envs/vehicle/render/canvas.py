"""A canvas to draw on: polygons, lines, gradients and light, on a picture of Pillow.

Pillow fills polygons without anti-aliasing, so every shape is drawn as a mask of several times the size and made smaller.
Masks are kept, since a car is drawn many times with few differences; what is left to do for most shapes is one `paste`.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from palaestra.envs.vehicle.render.shapes import Array
from palaestra.errors import MissingExtraError

try:
    from PIL import Image, ImageChops, ImageDraw
except ImportError:
    raise MissingExtraError("Pictures of the car (rgb_array)", "plots") from None

Colour = tuple[float, float, float]
Size = tuple[int, int]
Picture = Image.Image

_SMALL_PIXELS = 8_000


class Mask(NamedTuple):
    """How much of each pixel of a rectangle is covered.

    Attributes:
        left: First column.
        top: First row.
        cover: Coverage, 0 to 255.
    """

    left: int
    top: int
    cover: Picture


class Canvas:
    """A picture to draw on, in the units of a design that is scaled to it.

    Args:
        size: Width and height in pixels.
        scale: Pixels a unit of the design.
        background: Colour to start with, or a picture to start from (copied).

    Attributes:
        picture: The picture, RGB.
        scale: As given.
    """

    def __init__(self, size: Size, scale: float, background: Colour | Picture) -> None:
        """Start with the background."""
        if isinstance(background, Picture):
            self.picture = background.copy()
        else:
            self.picture = Image.new("RGB", size, _bytes_of(background))
        self.scale = scale

    def image(self) -> NDArray[np.uint8]:
        """Return the picture as bytes, shape (height, width, 3)."""
        return np.array(self.picture)

    def fill(
        self,
        points: Array,
        colour: Colour,
        alpha: float = 1.0,
        *,
        to: Colour | None = None,
        along: str = "y",
        fades: bool = False,
    ) -> None:
        """Fill a polygon.

        Args:
            points: Its corners in design units, shape (n, 2).
            colour: RGB, 0 to 255.
            alpha: How opaque it is.
            to: Colour at the other end of a gradient.
            along: Direction of gradient and fading: "y" (downwards), "up", "x" (to the right) or "mirror" (from the sides to
                the middle).
            fades: Whether it fades out along that direction.
        """
        mask = polygon_mask(points, self.scale, self.picture.size, round(255 * alpha), along if fades else "")
        self.stamp(mask, colour if to is None or mask is None else _gradient(mask.cover.size, colour, to, along))

    def line(self, points: Array, width: float, colour: Colour, alpha: float = 1.0, *, closed: bool = False) -> None:
        """Draw a line through points with round joints and ends; `width` in design units."""
        if closed:
            points = np.concatenate([points, points[:1]])
        self.stamp(
            _small_mask((points * self.scale).tobytes(), self.picture.size, width * self.scale, round(255 * alpha)), colour
        )

    def glow(self, x: float, y: float, radius: float, colour: Colour, alpha: float) -> None:
        """Add light that falls off towards a circle; bright places take less of it."""
        scale = self.scale
        light = _light(x * scale, y * scale, radius * scale, self.picture.size, colour, round(255 * min(1.0, alpha)))
        if light is not None:
            left, top, rays = light
            area = self.picture.crop((left, top, left + rays.width, top + rays.height))
            self.picture.paste(ImageChops.screen(area, rays), (left, top))

    def stamp(self, mask: Mask | None, paint: Colour | Picture, x: int = 0, y: int = 0) -> None:
        """Lay a colour, or a picture of the size of the mask, on the picture through a mask that is moved by whole pixels."""
        if mask is not None:
            source = paint if isinstance(paint, Picture) else _bytes_of(paint)
            self.picture.paste(source, (mask.left + x, mask.top + y), mask.cover)


def polygon_mask(points: Array, scale: float, size: Size, alpha: int = 255, fading: str = "") -> Mask | None:
    """Return the mask of a polygon in design units; None if nothing of it lies on the picture."""
    corners = points * scale
    extent = corners.max(axis=0) - corners.min(axis=0)
    kept = _small_mask if extent[0] * extent[1] <= _SMALL_PIXELS else _large_mask
    return kept(corners.tobytes(), size, 0.0, alpha, fading)


def dimmed(cover: Picture, alpha: int) -> Picture:
    """Return a coverage times `alpha`, 0 to 255."""
    return cover if alpha == 255 else cover.point(_dimming(alpha))


# -- masks ----------------------------------------------------------------------------------------------------------------


def _mask(data: bytes, size: Size, width: float, alpha: int, fading: str = "") -> Mask | None:
    """Return how much of each pixel of a picture a shape covers.

    Args:
        data: Points in pixels, shape (n, 2), as bytes.
        size: Width and height of the picture, to which the mask is cut.
        width: Width of a line through the points; 0 for a polygon.
        alpha: How opaque the shape is, 0 to 255.
        fading: Direction in which it fades out; empty if it does not.

    Returns:
        The mask; None if nothing of it lies on the picture.
    """
    points = np.frombuffer(data).reshape(-1, 2)
    low, high = np.floor(points.min(axis=0) - width / 2), np.ceil(points.max(axis=0) + width / 2)
    left, top = max(int(low[0]), 0), max(int(low[1]), 0)
    columns, rows = min(int(high[0]), size[0]) - left, min(int(high[1]), size[1]) - top
    if columns <= 0 or rows <= 0 or alpha <= 0:
        return None
    fine = 8 if columns * rows <= _SMALL_PIXELS else 4
    large = Image.new("L", (columns * fine, rows * fine))
    if width:
        _draw_line(ImageDraw.Draw(large), (points - (left, top)) * fine, width * fine)
    else:
        ImageDraw.Draw(large).polygon(_inside((points - (left, top)) * fine).ravel().tolist(), fill=255)
    cover = large.reduce(fine)
    if fading:
        cover = ImageChops.multiply(cover, _fading(cover.size, fading))
    return Mask(left, top, dimmed(cover, alpha))


# so many that a car's shapes stay, so few that the memory they take is bounded
_small_mask = lru_cache(maxsize=4096)(_mask)
_large_mask = lru_cache(maxsize=64)(_mask)


def _inside(corners: Array) -> Array:
    """Return corners half a pixel further in: Pillow also fills the pixels that the border of a polygon runs through."""
    along = np.roll(corners, -1, axis=0) - np.roll(corners, 1, axis=0)
    outward = np.stack([along[:, 1], -along[:, 0]], axis=1)
    x, y = corners[:, 0], corners[:, 1]
    clockwise = np.sign(np.sum(x * np.roll(y, -1) - np.roll(x, -1) * y))
    longest = np.abs(outward).max(axis=1, keepdims=True)
    inside: Array = corners - 0.5 * clockwise * outward / np.where(longest > 0.0, longest, 1.0)
    return inside


def _draw_line(draw: ImageDraw.ImageDraw, points: Array, width: float) -> None:
    """Draw a line with round joints and ends."""
    draw.line((points - 0.25).ravel().tolist(), fill=255, width=max(1, round(width)))
    radius = (width - 1) / 2
    for x, y in (points - 0.5).tolist():
        draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=255)


@lru_cache(maxsize=256)
def _dimming(alpha: int) -> list[int]:
    """Return what each coverage becomes when it is multiplied by `alpha`."""
    return [round(cover * alpha / 255) for cover in range(256)]


# -- gradients and light ----------------------------------------------------------------------------------------------------


@lru_cache(maxsize=128)
def _gradient(size: Size, colour: Colour, to: Colour, along: str) -> Picture:
    """Return a picture that goes from one colour to another."""
    begin, end = np.array(colour), np.array(to)
    ramp = np.broadcast_to(_ramp(size, along)[:, :, None], (size[1], size[0], 1))
    return Image.fromarray(np.round(begin + (end - begin) * ramp).astype(np.uint8))


@lru_cache(maxsize=128)
def _fading(size: Size, along: str) -> Picture:
    """Return a coverage that fades out."""
    ramp = np.broadcast_to(_ramp(size, along), (size[1], size[0]))
    return Image.fromarray(np.round(255 * (1.0 - ramp) ** 2).astype(np.uint8))


def _ramp(size: Size, along: str) -> Array:
    """Return values from 0 to 1 along one direction of a rectangle, shape (rows, 1) or (1, columns)."""
    across, down = np.linspace(0.0, 1.0, size[0])[None, :], np.linspace(0.0, 1.0, size[1])[:, None]
    ramps: dict[str, Array] = {"y": down, "up": 1.0 - down, "x": across, "mirror": 1.0 - np.abs(2.0 * across - 1.0)}
    return ramps[along]


@lru_cache(maxsize=256)
def _light(x: float, y: float, radius: float, size: Size, colour: Colour, alpha: int) -> tuple[int, int, Picture] | None:
    """Return light that falls off with the square of the distance to the rim: first column, first row, picture."""
    left, top = max(0, math.floor(x - radius)), max(0, math.floor(y - radius))
    right, bottom = min(size[0], math.ceil(x + radius)), min(size[1], math.ceil(y + radius))
    if right <= left or bottom <= top:
        return None
    dx = (np.arange(left, right) + 0.5 - x)[None, :]
    dy = (np.arange(top, bottom) + 0.5 - y)[:, None]
    fall = np.clip(1.0 - np.sqrt(dx * dx + dy * dy) / radius, 0.0, 1.0) ** 2
    rays = fall[:, :, None] * (np.array(colour) * (alpha / 255))
    return left, top, Image.fromarray(np.round(rays).astype(np.uint8))


def _bytes_of(colour: Colour) -> tuple[int, int, int]:
    """Return a colour in whole steps."""
    return round(colour[0]), round(colour[1]), round(colour[2])
