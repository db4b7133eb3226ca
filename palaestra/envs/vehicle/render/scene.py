"""What all parts of the picture share: canvas, readings, colours, and outlines around what has changed."""

from __future__ import annotations

from palaestra.envs.vehicle.car.tables import SEATS
from palaestra.envs.vehicle.render.canvas import Canvas, Colour
from palaestra.envs.vehicle.render.readings import Readings
from palaestra.envs.vehicle.render.shapes import Array, box

WIDTH, HEIGHT = 960, 720
MIDDLE = WIDTH / 2

FLOOR: Colour = (13, 17, 23)
PANEL: Colour = (22, 28, 37)
LINE: Colour = (44, 54, 68)
INK: Colour = (226, 232, 240)
MUTED: Colour = (126, 140, 158)
FAINT: Colour = (70, 82, 98)
ACCENT: Colour = (86, 178, 255)
GREEN: Colour = (88, 214, 141)
AMBER: Colour = (255, 176, 32)
RED: Colour = (240, 72, 62)
BLUE: Colour = (72, 152, 255)
VIOLET: Colour = (186, 128, 255)
WARM: Colour = (255, 222, 160)
GLASS: Colour = (96, 158, 196)
DARK: Colour = (17, 21, 27)


class Scene:
    """A picture in the making.

    Args:
        canvas: Where to draw.
        readings: What the car's state says.

    Attributes:
        canvas: As given.
        readings: As given.
        outlines: Shapes to outline because what they show has changed.
        seen: Paths that the picture shows.
    """

    def __init__(self, canvas: Canvas, readings: Readings) -> None:
        """Start with nothing outlined."""
        self.canvas = canvas
        self.readings = readings
        self.outlines: list[Array] = []
        self.seen: set[str] = set()

    def shows(self, shape: Array, *paths: str) -> bool:
        """Tell that a shape shows some leaves; it is outlined in the end if one of them has changed."""
        self.seen.update(paths)
        changed = self.readings.is_changed(*paths)
        if changed:
            self.outlines.append(shape)
        return changed

    def draw_outlines(self) -> None:
        """Outline what has changed."""
        for shape in self.outlines:
            self.canvas.line(shape, 4.0, DARK, 0.5, closed=True)
            self.canvas.line(shape, 2.0, AMBER, closed=True)

    def lock(self, x: float, y: float, colour: Colour) -> None:
        """Draw a padlock, 8 wide and 11 high."""
        self.canvas.line(box(x, y - 3.0, 5.0, 7.0, 2.5), 1.5, colour, closed=True)
        self.canvas.fill(box(x, y + 1.5, 9.0, 7.0, 1.5), colour)


def seat_place(seat: str) -> tuple[float, float, float]:
    """Return the middle of a seat's cushion, and the side of the car it is on (-1 left, 1 right)."""
    row, column = divmod(SEATS.index(seat), 2)
    side = 1.0 if column else -1.0
    return MIDDLE + side * 56.0, (331.0, 439.0, 546.0)[row], side


def mixed(a: Colour, b: Colour, share: float) -> Colour:
    """Return a colour between two."""
    return (a[0] + (b[0] - a[0]) * share, a[1] + (b[1] - a[1]) * share, a[2] + (b[2] - a[2]) * share)
