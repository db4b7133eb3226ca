"""A small anti-aliased raster: polygons, thick lines, glows, on an RGB image.

All shapes are closed polygons. Their coverage of the pixels is summed from the crossings of their edges with a few scan lines
a pixel, exact along x; overlapping parts of one shape count once as long as they turn the same way. Coverages of small shapes
are kept, since a car is drawn many times with few differences.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache, wraps
from typing import NamedTuple, ParamSpec

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Colour = tuple[float, float, float]
Parameters = ParamSpec("Parameters")

_LINES = 5  # scan lines a pixel
_SMALL_PIXELS = 8_000


class Mask(NamedTuple):
    """How much of each pixel of a rectangle a shape covers.

    Attributes:
        top: First row.
        left: First column.
        alpha: Coverage from 0 to 1, shape (rows, columns); float32.
        few: Rows, columns and coverage of the covered pixels alone, where these are few (thin lines around large shapes).
        core: First row, end of rows, first column and end of columns of a large part that is covered wholly.
    """

    top: int
    left: int
    alpha: NDArray[np.float32]
    few: tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]] | None = None
    core: tuple[int, int, int, int] | None = None


class Canvas:
    """An image to draw on, in the units of a design that is scaled to it.

    Args:
        size: Width and height in pixels.
        scale: Pixels a unit of the design.
        background: Colour to start with, or an image to start from (copied).

    Attributes:
        pixels: The image, shape (height, width, 3), float32, 0 to 255.
        scale: As given.
    """

    def __init__(self, size: tuple[int, int], scale: float, background: Colour | NDArray[np.float32]) -> None:
        """Start with the background."""
        width, height = size
        self.pixels = np.empty((height, width, 3), np.float32)
        self.pixels[:] = background
        self.scale = scale
        self._scratch = np.empty(self.pixels.size, np.float32)

    def image(self) -> NDArray[np.uint8]:
        """Return the image as bytes, shape (height, width, 3)."""
        # fractions are cut off: half a step cannot be seen, and rounding would cost a tenth of a picture
        return self.pixels.astype(np.uint8)

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
        self._blend(_coverage_of(points, self.scale, self._size), colour, alpha, to, along, fades)

    def line(self, points: Array, width: float, colour: Colour, alpha: float = 1.0, *, closed: bool = False) -> None:
        """Draw a line through points with round joints; `width` in design units."""
        if closed:
            points = np.concatenate([points, points[:1]])
        self._blend(_line_coverage(points, width, self.scale, self._size), colour, alpha)

    def glow(self, x: float, y: float, radius: float, colour: Colour, alpha: float) -> None:
        """Add light that falls off towards a circle."""
        mask = _glow(x * self.scale, y * self.scale, radius * self.scale, self._size)
        if mask is not None:
            area = self.pixels[mask.top : mask.top + mask.alpha.shape[0], mask.left : mask.left + mask.alpha.shape[1]]
            light = np.multiply(area, -1.0 / 320.0, out=self._room(area.shape))  # bright places take less of it
            light += 1.0
            light *= mask.alpha[:, :, None]
            light *= np.asarray(colour, np.float32) * np.float32(alpha)
            area += light
            np.minimum(area, 255.0, out=area)

    def stamp(self, mask: Mask, x: int, y: int, colour: Colour, alpha: float = 1.0) -> None:
        """Lay a mask on the image, moved by whole pixels."""
        height, width = self.pixels.shape[:2]
        top, left = mask.top + y, mask.left + x
        rows, columns = mask.alpha.shape
        cut_top, cut_left = max(0, -top), max(0, -left)
        cut = mask.alpha[cut_top : max(0, min(rows, height - top)), cut_left : max(0, min(columns, width - left))]
        if cut.size:
            self._blend(Mask(top + cut_top, left + cut_left, cut), colour, alpha)

    def _room(self, shape: tuple[int, ...]) -> NDArray[np.float32]:
        """Return room for a calculation; asking the system for new memory each time would take longer than the calculation."""
        return self._scratch[: math.prod(shape)].reshape(shape)

    @property
    def _size(self) -> tuple[int, int]:
        return self.pixels.shape[1], self.pixels.shape[0]

    def _blend(
        self,
        mask: Mask | None,
        colour: Colour,
        alpha: float,
        to: Colour | None = None,
        along: str = "y",
        fades: bool = False,
    ) -> None:
        """Mix a colour into the pixels of a mask."""
        if mask is None or alpha <= 0.0:
            return
        rows, columns = mask.alpha.shape
        if mask.few is not None and to is None and not fades:
            y, x, thin = mask.few
            line = self.pixels[y, x]
            self.pixels[y, x] = line + (np.asarray(colour, np.float32) - line) * (thin * np.float32(alpha))
            return
        if mask.core is not None and alpha == 1.0 and to is None and not fades:
            self._paint_core(mask, mask.core, colour)
            return
        area = self.pixels[mask.top : mask.top + rows, mask.left : mask.left + columns]
        cover = mask.alpha if alpha == 1.0 else mask.alpha * np.float32(alpha)
        paint = np.asarray(colour, np.float32)
        if to is not None or fades:
            ramp = _ramp(rows, columns, along)
            if to is not None:
                paint = paint + (np.asarray(to, np.float32) - paint) * ramp[:, :, None]
            if fades:
                cover = cover * (1.0 - ramp) ** 2
        mixture = np.subtract(paint, area, out=self._room(area.shape))
        mixture *= cover[:, :, None]
        area += mixture

    def _paint_core(self, mask: Mask, core: tuple[int, int, int, int], colour: Colour) -> None:
        """Paint what is covered wholly, and mix the rest in around it."""
        top, bottom, left, right = core
        rows, columns = mask.alpha.shape
        self.pixels[mask.top + top : mask.top + bottom, mask.left + left : mask.left + right] = colour
        for y, y_end, x, x_end in (
            (0, top, 0, columns),
            (bottom, rows, 0, columns),
            (top, bottom, 0, left),
            (top, bottom, right, columns),
        ):
            if y < y_end and x < x_end:
                self._blend(Mask(mask.top + y, mask.left + x, mask.alpha[y:y_end, x:x_end]), colour, 1.0)


# -- shapes -------------------------------------------------------------------------------------------------------


def _kept(make: Callable[Parameters, Array]) -> Callable[Parameters, Array]:
    """Keep the shapes that a function makes; they must not be changed in place."""

    def frozen(*args: Parameters.args, **kwargs: Parameters.kwargs) -> Array:
        shape = make(*args, **kwargs)
        shape.flags.writeable = False
        return shape

    kept: Callable[Parameters, Array] = lru_cache(maxsize=4096)(frozen)  # type: ignore[assignment]
    return wraps(make)(kept)


def polygon(*corners: tuple[float, float]) -> Array:
    """Return points as an array."""
    return np.array(corners, np.float64)


def smooth(points: Array, rounds: int = 3, *, closed: bool = True) -> Array:
    """Round a polygon or line by cutting its corners (Chaikin); ends of an open line stay."""
    for _ in range(rounds):
        following = np.roll(points, -1, axis=0) if closed else points[1:]
        present = points if closed else points[:-1]
        cut = np.stack([0.75 * present + 0.25 * following, 0.25 * present + 0.75 * following], axis=1).reshape(-1, 2)
        points = cut if closed else np.concatenate([points[:1], cut[1:-1], points[-1:]])
    return points


@_kept
def box(x: float, y: float, width: float, height: float, radius: float = 0.0) -> Array:
    """Return a rectangle around a middle, its corners rounded."""
    a, b, r = width / 2, height / 2, min(radius, width / 2, height / 2)
    if r <= 0.0:
        return polygon((x - a, y - b), (x + a, y - b), (x + a, y + b), (x - a, y + b))
    turn = np.arange(4) * (math.pi / 6)
    quarter = np.stack([np.cos(turn), np.sin(turn)], axis=1) * r
    corners = [(x + a - r, y + b - r), (x - a + r, y + b - r), (x - a + r, y - b + r), (x + a - r, y - b + r)]
    return np.concatenate([rotated(quarter, 90.0 * i) + corner for i, corner in enumerate(corners)])


@_kept
def disc(x: float, y: float, radius: float, ratio: float = 1.0, sides: int = 24) -> Array:
    """Return a circle, or an ellipse whose height is `ratio` times its width."""
    turn = np.arange(sides) * (2 * math.pi / sides)
    return np.stack([x + radius * np.cos(turn), y + ratio * radius * np.sin(turn)], axis=1)


@_kept
def arc(x: float, y: float, radius: float, begin: float, end: float, steps: int = 10) -> Array:
    """Return points on a circle between two angles in degrees (0 is right, 90 is down)."""
    turn = np.radians(np.linspace(begin, end, steps))
    return np.stack([x + radius * np.cos(turn), y + radius * np.sin(turn)], axis=1)


def rotated(points: Array, degrees: float, x: float = 0.0, y: float = 0.0) -> Array:
    """Return points turned about (x, y), clockwise on the screen."""
    turn = math.radians(degrees)
    c, s = math.cos(turn), math.sin(turn)
    centre = np.array((x, y))
    turned: Array = (points - centre) @ np.array(((c, s), (-s, c))) + centre
    return turned


def mirrored(points: Array, x: float = 0.0) -> Array:
    """Return points reflected left to right about an upright line."""
    return np.stack([2 * x - points[:, 0], points[:, 1]], axis=1)


def symmetric(right: Array, x: float = 0.0) -> Array:
    """Return a polygon from its right half, given from top to bottom."""
    return np.concatenate([right, mirrored(right, x)[::-1]])


def capsules(segments: Array, radius: float) -> Array:
    """Return the polygons of thick segments with round ends.

    Args:
        segments: Both ends of each, shape (n, 2, 2).
        radius: Half their width.

    Returns:
        Corners of each, all turning the same way; shape (n, 12, 2).
    """
    along = segments[:, 1] - segments[:, 0]
    length = np.hypot(along[:, 0], along[:, 1])
    unit = np.where(length[:, None] > 1e-9, along / np.maximum(length, 1e-9)[:, None], np.array((1.0, 0.0)))
    across = np.stack([-unit[:, 1], unit[:, 0]], axis=1)
    turn = np.radians(np.array((90.0, 54.0, 18.0, -18.0, -54.0, -90.0)))
    cap = unit[:, None, :] * np.cos(turn)[None, :, None] + across[:, None, :] * np.sin(turn)[None, :, None]
    return np.concatenate([segments[:, 1:2] + radius * cap, segments[:, 0:1] - radius * cap], axis=1)


# -- coverage -----------------------------------------------------------------------------------------------------


def coverage(corners: Array, following: Array, size: tuple[int, int] | None = None) -> Mask | None:
    """Return how much of each pixel some polygons cover.

    Args:
        corners: Begin of each edge in pixels, shape (n, 2).
        following: End of each edge.
        size: Width and height of the image to which the mask is cut; None to keep all of it.

    Returns:
        The mask; None if nothing of it lies on the image.
    """
    low, high = np.floor(corners.min(axis=0)), np.ceil(corners.max(axis=0))
    left, top, right, bottom = int(low[0]), int(low[1]), int(high[0]), int(high[1])
    if size is not None:
        left, top, right, bottom = max(left, 0), max(top, 0), min(right, size[0]), min(bottom, size[1])
    rows, columns = bottom - top, right - left
    if rows <= 0 or columns <= 0:
        return None
    begin, end = (corners[:, 1] - top) * _LINES - 0.5, (following[:, 1] - top) * _LINES - 0.5
    upper, lower = np.minimum(begin, end), np.maximum(begin, end)
    first = np.clip(np.ceil(upper), 0, rows * _LINES).astype(np.int64)
    counts = np.clip(np.ceil(lower), 0, rows * _LINES).astype(np.int64) - first
    edge = np.repeat(np.arange(len(corners)), counts)
    line = np.arange(len(edge)) - np.repeat(np.cumsum(counts) - counts, counts) + first[edge]
    with np.errstate(divide="ignore", invalid="ignore"):
        slope = (following[:, 0] - corners[:, 0]) / (end - begin)
    x = np.clip(corners[edge, 0] + (line - begin[edge]) * slope[edge] - left, 0.0, columns)
    sign = np.where(end > begin, 1.0, -1.0)[edge]
    column = x.astype(np.int64)
    part = x - column
    place = (line // _LINES) * (columns + 2) + column
    cells = rows * (columns + 2)
    steps = np.bincount(place, sign * (1.0 - part), cells) + np.bincount(place + 1, sign * part, cells)
    total = np.cumsum(steps.reshape(rows, columns + 2), axis=1)[:, :columns]
    return Mask(top, left, np.clip(np.abs(total) / _LINES, 0.0, 1.0).astype(np.float32))


def _coverage_of(points: Array, scale: float, size: tuple[int, int]) -> Mask | None:
    """Return the coverage of a polygon in design units, kept for the next time."""
    corners = points * scale
    extent = corners.max(axis=0) - corners.min(axis=0)
    kept = _small_coverage if extent[0] * extent[1] <= _SMALL_PIXELS else _large_coverage
    return kept(corners.tobytes(), size)


def _polygon_coverage(data: bytes, size: tuple[int, int]) -> Mask | None:
    corners = np.frombuffer(data).reshape(-1, 2)
    return _with_core(coverage(corners, np.roll(corners, -1, axis=0), size))


# so many that a car's shapes stay, so few that the memory they take is bounded
_small_coverage = lru_cache(maxsize=4096)(_polygon_coverage)
_large_coverage = lru_cache(maxsize=64)(_polygon_coverage)


def _with_core(mask: Mask | None) -> Mask | None:
    """Return a mask that knows its wholly covered part, if it is a large upright one."""
    if mask is None or mask.alpha.size < 4000:
        return mask
    whole = mask.alpha == 1.0
    columns = np.flatnonzero(whole[whole.shape[0] // 2])
    if not len(columns):
        return mask
    left, right = int(columns[0]), int(columns[-1]) + 1
    rows = np.flatnonzero(whole[:, left:right].all(axis=1))
    if len(rows) * 2 < whole.shape[0] or rows[-1] - rows[0] + 1 != len(rows):
        return mask
    return mask._replace(core=(int(rows[0]), int(rows[-1]) + 1, left, right))


def _line_coverage(points: Array, width: float, scale: float, size: tuple[int, int]) -> Mask | None:
    """Return the coverage of a thick line."""
    return _kept_line((points * scale).tobytes(), width * scale / 2, size)


@lru_cache(maxsize=4096)
def _kept_line(data: bytes, radius: float, size: tuple[int, int]) -> Mask | None:
    points = np.frombuffer(data).reshape(-1, 2)
    return _thinned(capsule_coverage(np.stack([points[:-1], points[1:]], axis=1), radius, size))


def _thinned(mask: Mask | None) -> Mask | None:
    """Return a mask that lists its pixels, if they are few."""
    if mask is None or mask.alpha.size < 1500:
        return mask
    y, x = np.nonzero(mask.alpha)
    if len(y) * 5 > mask.alpha.size:
        return mask
    return mask._replace(few=(y + mask.top, x + mask.left, mask.alpha[y, x][:, None]))


def capsule_coverage(segments: Array, radius: float, size: tuple[int, int] | None = None) -> Mask | None:
    """Return the coverage of thick segments in pixels, shape (n, 2, 2)."""
    corners = capsules(segments, radius)
    return coverage(corners.reshape(-1, 2), np.roll(corners, -1, axis=1).reshape(-1, 2), size)


@lru_cache(maxsize=512)
def _glow(x: float, y: float, radius: float, size: tuple[int, int]) -> Mask | None:
    """Return light that falls off with the square of the distance to the rim."""
    left, top = max(0, math.floor(x - radius)), max(0, math.floor(y - radius))
    right, bottom = min(size[0], math.ceil(x + radius)), min(size[1], math.ceil(y + radius))
    if right <= left or bottom <= top:
        return None
    dx = (np.arange(left, right) + 0.5 - x)[None, :]
    dy = (np.arange(top, bottom) + 0.5 - y)[:, None]
    fall = np.clip(1.0 - np.sqrt(dx * dx + dy * dy) / radius, 0.0, 1.0)
    return Mask(top, left, (fall * fall).astype(np.float32))


@lru_cache(maxsize=256)
def _ramp(rows: int, columns: int, along: str) -> NDArray[np.float32]:
    """Return values from 0 to 1 along one direction of a rectangle, shape (rows, 1) or (1, columns)."""
    down, across = np.linspace(0.0, 1.0, rows)[:, None], np.linspace(0.0, 1.0, columns)[None, :]
    ramps = {"y": down, "up": 1.0 - down, "x": across, "mirror": 1.0 - np.abs(2.0 * across - 1.0)}
    return ramps[along].astype(np.float32)
