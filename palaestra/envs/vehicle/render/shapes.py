"""Shapes to draw: polygons and lines as points, in the units of the design."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache, wraps
from typing import ParamSpec

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Parameters = ParamSpec("Parameters")


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
