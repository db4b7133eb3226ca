"""The whole picture: the car from above in the middle, panels on both sides, outlines around what has changed."""

from __future__ import annotations

from collections.abc import Collection
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from palaestra.envs.vehicle.car.state import CarState
from palaestra.envs.vehicle.render.body import (
    BODY,
    draw_beams,
    draw_doors,
    draw_ground,
    draw_lamps,
    draw_lids,
    draw_mirrors,
    draw_wipers,
)
from palaestra.envs.vehicle.render.cabin import draw_dashboard, draw_roof, draw_seats
from palaestra.envs.vehicle.render.canvas import Canvas, Mask, Picture, polygon_mask
from palaestra.envs.vehicle.render.lettering import write
from palaestra.envs.vehicle.render.panels import draw_panels
from palaestra.envs.vehicle.render.readings import Readings
from palaestra.envs.vehicle.render.scene import AMBER, FLOOR, HEIGHT, MIDDLE, WIDTH, Scene
from palaestra.errors import UsageError

MIN_WIDTH, MAX_WIDTH = 480, 3840


def car_picture(state: CarState, width: int = WIDTH, changed: Collection[str] = frozenset()) -> NDArray[np.uint8]:
    """Draw a car from above.

    Args:
        state: State of the car.
        width: Width of the picture in pixels, 480 to 3840; it is three quarters as high.
        changed: Full paths of leaves whose places are outlined.

    Returns:
        RGB, shape (height, width, 3).

    Raises:
        UsageError: For another width.
    """
    if not MIN_WIDTH <= width <= MAX_WIDTH:
        raise UsageError(f"The picture's width is {width!r}; expected {MIN_WIDTH} to {MAX_WIDTH} pixels.")
    scale = width / WIDTH
    size = (width, round(HEIGHT * scale))
    readings = Readings(state, changed)
    ground, body = _ground(size, scale)
    scene = Scene(Canvas(size, scale, ground), readings)
    draw_beams(scene)
    _lay_back(scene.canvas, ground, body)
    draw_mirrors(scene)
    draw_lids(scene)
    draw_wipers(scene)
    draw_lamps(scene)
    draw_dashboard(scene)
    draw_doors(scene)
    draw_seats(scene)
    draw_roof(scene)
    draw_panels(scene)
    scene.draw_outlines()
    hidden = sum(
        not any(path == shown or path.startswith((f"{shown}.", f"{shown}[")) for shown in scene.seen)
        for path in readings.changed
    )
    if hidden:
        write(scene.canvas, MIDDLE, HEIGHT - 10.0, f"{hidden} more changed out of sight", AMBER, align="middle", size=7.0)
    return scene.canvas.image()


@lru_cache(maxsize=4)
def _ground(size: tuple[int, int], scale: float) -> tuple[Picture, Mask]:
    """Return what no state changes, and which pixels of it are the car's body."""
    canvas = Canvas(size, scale, FLOOR)
    draw_ground(canvas)
    body = polygon_mask(BODY, scale, size)
    assert body is not None
    return canvas.picture, body


def _lay_back(canvas: Canvas, ground: Picture, body: Mask) -> None:
    """Lay the ends of the car's body over the light on the ground."""
    columns, rows = body.cover.size
    for begin, end in ((0, rows // 6), (rows - rows // 6, rows)):
        area = (body.left, body.top + begin, body.left + columns, body.top + end)
        canvas.stamp(Mask(area[0], area[1], body.cover.crop((0, begin, columns, end))), ground.crop(area))
