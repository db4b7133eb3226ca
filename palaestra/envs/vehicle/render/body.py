"""The car's outside: body, doors and windows, lids, mirrors, wipers and lights."""

from __future__ import annotations

import numpy as np

from palaestra.envs.vehicle.car.tables import SEATS
from palaestra.envs.vehicle.render.canvas import Canvas
from palaestra.envs.vehicle.render.lettering import write
from palaestra.envs.vehicle.render.scene import (
    AMBER,
    DARK,
    GLASS,
    INK,
    MIDDLE,
    MUTED,
    RED,
    Scene,
    mixed,
    seat_place,
)  # fmt: skip
from palaestra.envs.vehicle.render.shapes import Array, arc, box, disc, mirrored, polygon, rotated, smooth, symmetric

PAINT, SHADE, SEAM = (206, 216, 226), (118, 134, 152), (74, 86, 102)
_SIDE = 112.0  # from the middle to the car's side
_HINGES = ((272.0, 94.0), (370.0, 100.0), (474.0, 98.0))  # front end and length of the doors by row
_WHITE, _ICE, _FOG, _TAIL = (255, 250, 232), (214, 232, 255), (255, 226, 120), (255, 52, 44)


def _half(*points: tuple[float, float]) -> Array:
    """Return a symmetric polygon from its right half, x counted from the middle of the car."""
    return smooth(symmetric(polygon(*points)) + np.array((MIDDLE, 0.0)))


BODY = _half(
    (0, 108), (52, 109), (92, 120), (108, 156), (112, 220), (114, 300), (114, 540), (112, 600), (106, 642), (84, 668),
    (44, 674), (0, 674),
)  # fmt: skip
CABIN = _half((0, 222), (64, 225), (92, 236), (101, 276), (102, 420), (101, 560), (95, 608), (60, 616), (0, 617))
_WINDSCREEN = _half((0, 188), (50, 190), (88, 203), (99, 246), (92, 245), (60, 229), (0, 225))
_REAR_GLASS = _half((0, 614), (60, 613), (95, 604), (98, 612), (85, 634), (50, 640), (0, 641))
_HOOD = _half((0, 122), (50, 123), (78, 132), (86, 164), (84, 186), (48, 180), (0, 178))
_LID = _half((0, 643), (52, 642), (86, 636), (88, 644), (74, 660), (40, 664), (0, 665))


def draw_ground(canvas: Canvas) -> None:
    """Draw what does not change: floor, shadow, the body's shell."""
    canvas.glow(MIDDLE, 390.0, 420.0, (30, 42, 58), 1.0)
    for grow, alpha in ((14.0, 0.10), (9.0, 0.16), (5.0, 0.24)):
        shadow = (BODY - np.array((MIDDLE, 391.0))) * np.array((1 + grow / 113, 1 + grow / 283)) + np.array((MIDDLE, 395.0))
        canvas.fill(shadow, (0, 0, 0), alpha)
    canvas.fill(BODY, SHADE, to=PAINT, along="mirror")
    canvas.line(BODY, 1.5, (240, 244, 248), 0.35, closed=True)
    for side in (-1.0, 1.0):  # creases along hood and tail
        crease = polygon((62, 128), (78, 156), (84, 186)) * np.array((side, 1.0)) + np.array((MIDDLE, 0.0))
        canvas.line(smooth(crease, closed=False), 1.2, SEAM, 0.5)
    canvas.fill(_WINDSCREEN, (30, 46, 62), to=(58, 88, 112), along="y")
    canvas.fill(_REAR_GLASS, (58, 88, 112), to=(30, 46, 62), along="y")
    canvas.line(_WINDSCREEN, 1.0, SEAM, 0.8, closed=True)
    canvas.line(_REAR_GLASS, 1.0, SEAM, 0.8, closed=True)
    canvas.fill(CABIN, (30, 36, 45), to=(22, 27, 34))
    canvas.line(CABIN, 2.0, SEAM, closed=True)


# -- lights -------------------------------------------------------------------------------------------------------


def draw_beams(scene: Scene) -> None:
    """Draw light on the ground, which lies under the car."""
    read, canvas = scene.readings, scene.canvas
    mode, reach = read.word("lowBeamHeadlight.mode"), read.share("lowBeamHeadlight.height_level")
    strength = {"on": 0.62, "auto": 0.26}.get(mode, 0.0)
    for side in (-1.0, 1.0):
        lamp = MIDDLE + side * 80.0
        if read.on("highBeamHeadlight.high_beam_on"):
            canvas.fill(_cone(lamp, 124.0, -40.0, 34.0, side * 4.0), _ICE, 0.75, along="up", fades=True)
            canvas.glow(lamp, 96.0, 80.0, _ICE, 0.5)
        if strength:
            canvas.fill(_cone(lamp, 124.0, 72.0 - 100.0 * reach, 60.0, side * 16.0), _WHITE, strength, along="up", fades=True)
            canvas.glow(lamp, 112.0, 42.0, _WHITE, strength)
        if read.on("fogLight.front_light.is_on"):
            canvas.fill(_cone(lamp + side * 14, 136.0, 74.0, 74.0, side * 44.0), _FOG, 0.6, along="up", fades=True)
        if read.on("fogLight.rear_light.is_on"):
            canvas.glow(MIDDLE + side * 40.0, 678.0, 58.0, _TAIL, 0.8)
        if read.on("tailLight.is_on"):
            canvas.glow(MIDDLE + side * 86.0, 668.0, 64.0, _TAIL, 0.75)
    if read.on("highBeamHeadlight.delay_off_enabled"):
        seconds = read.word("highBeamHeadlight.delay_off_duration_seconds")
        write(canvas, MIDDLE, 86.0, f"off after {seconds} s", MUTED, align="middle")


def _cone(x: float, y: float, end: float, spread: float, lean: float) -> Array:
    """Return the ground that a lamp lights, from the lamp upwards to `end`."""
    return polygon((x - 7, y), (x + 7, y), (x + lean + spread, end), (x + lean, end - 8), (x + lean - spread, end))


def draw_lamps(scene: Scene) -> None:
    """Draw the lamps themselves."""
    read, canvas = scene.readings, scene.canvas
    low, high = read.word("lowBeamHeadlight.mode"), read.on("highBeamHeadlight.high_beam_on")
    lit = _ICE if high else _WHITE if low == "on" else mixed((92, 106, 122), _WHITE, 0.5) if low == "auto" else (92, 106, 122)
    position, hazard = read.on("positionLight.is_on"), read.on("hazardLight.is_active")
    for side in (-1.0, 1.0):
        lamp = polygon((52, 119), (72, 120), (92, 130), (98, 146), (90, 142), (76, 130), (54, 126))
        shape = smooth(lamp * np.array((side, 1.0)) + np.array((MIDDLE, 0.0)), 2)
        canvas.fill(shape, lit)
        canvas.line(shape, 1.0, SEAM, closed=True)
        scene.shows(
            shape,
            "lowBeamHeadlight",
            "highBeamHeadlight.high_beam_on",
            "highBeamHeadlight.delay_off_enabled",
            "highBeamHeadlight.delay_off_duration_seconds",
        )
        fog = disc(MIDDLE + side * 99.0, 160.0, 5.0)
        canvas.fill(fog, _FOG if read.on("fogLight.front_light.is_on") else (92, 106, 122))
        scene.shows(fog, "fogLight.front_light.is_on")
        tail = smooth(polygon((58, 666), (84, 661), (102, 646), (104, 632), (108, 646), (92, 668), (62, 673)), 2)
        tail = tail * np.array((side, 1.0)) + np.array((MIDDLE, 0.0))
        canvas.fill(tail, _TAIL if read.on("tailLight.is_on") else (112, 38, 38))
        scene.shows(tail, "tailLight.is_on")
        rear_fog = box(MIDDLE + side * 40.0, 671.0, 16.0, 4.0, 2.0)
        canvas.fill(rear_fog, _TAIL if read.on("fogLight.rear_light.is_on") else (92, 40, 40))
        scene.shows(rear_fog, "fogLight.rear_light.is_on")
        for y, colour in ((150.0, _WHITE), (638.0, _TAIL)):
            strip = box(MIDDLE + side * 108.0, y, 4.0, 20.0, 2.0)
            canvas.fill(strip, colour if position else (92, 106, 122))
            if position:
                canvas.glow(MIDDLE + side * 108.0, y, 26.0, colour, 0.8)
            scene.shows(strip, "positionLight")
        for y in (132.0, 654.0):
            blinker = polygon((93, y), (103, y + 5), (103, y - 5)) * np.array((side, 1.0)) + np.array((MIDDLE, 0.0))
            blinker = blinker + np.array((side * 14.0, 0.0))
            if hazard:
                canvas.glow(MIDDLE + side * 112.0, y, 38.0, AMBER, 0.9)
            canvas.fill(blinker, AMBER if hazard else (104, 84, 48))
            scene.shows(blinker, "hazardLight")


# -- doors --------------------------------------------------------------------------------------------------------


def draw_doors(scene: Scene) -> None:
    """Draw steps, doors with their windows, and what is locked."""
    for seat in SEATS[:2]:
        _draw_step(scene, seat)
    for row in (2, 1, 0):
        for seat in SEATS[2 * row : 2 * row + 2]:
            _draw_door(scene, seat, row)


def _draw_step(scene: Scene, seat: str) -> None:
    """Draw the foot step of a front seat, which comes out under the door."""
    path = f"footPedal.pedals.{seat}.state"
    side = seat_place(seat)[2]
    out = scene.readings.on(path)
    step = box(MIDDLE + side * (_SIDE + (10.0 if out else 1.0)), 318.0, 14.0 if out else 5.0, 62.0, 3.0)
    scene.canvas.fill(step, (150, 160, 172) if out else SEAM)
    if out:
        for y in (298.0, 311.0, 324.0, 337.0):
            scene.canvas.line(polygon((MIDDLE + side * 118, y), (MIDDLE + side * 126, y)), 2.0, (70, 80, 92))
    scene.shows(step, path)


def _draw_door(scene: Scene, seat: str, row: int) -> None:
    """Draw one door, swung about its front end, with the glass of its window."""
    read, canvas = scene.readings, scene.canvas
    side = seat_place(seat)[2]
    hinge, length = _HINGES[row]
    door, window = f"door.doors.{seat}.", f"window.window_states.{seat}."
    swing, gap = read.share(f"{door}angle"), read.share(f"{window}open_degree")

    def placed(points: Array) -> Array:
        points = rotated(points, -62.0 * swing, _SIDE - 2.0, hinge)
        return _at_side(points, side)

    if swing:
        opening = box(_SIDE - 5.0, hinge + length / 2, 12.0, length, 2.0)
        canvas.fill(_at_side(opening, side), DARK)
    panel = placed(smooth(polygon((104, hinge), (114, hinge), (114, hinge + length), (104, hinge + length)), 1))
    canvas.fill(panel, mixed(PAINT, SHADE, 0.35))
    canvas.line(panel, 1.0, SEAM, closed=True)
    begin, end = hinge + 8.0, hinge + length - 8.0
    canvas.line(placed(polygon((105.5, begin), (105.5, end))), 5.0, DARK)
    glass_end = end - (end - begin) * gap
    if gap < 0.99:
        canvas.line(placed(polygon((105.5, begin), (105.5, glass_end))), 3.0, GLASS)
    handle = placed(polygon((112.5, hinge + length - 24.0), (112.5, hinge + length - 12.0)))
    canvas.line(handle, 2.0, SEAM)
    scene.shows(panel, f"{door}angle", f"{door}status", f"{door}angle_unit")
    scene.shows(placed(box(105.5, hinge + length / 2, 7.0, length - 10.0, 3.0)), f"{window}is_open", f"{window}open_degree")
    _draw_locks(scene, seat, side, hinge)
    edge = MIDDLE + side * 236.0
    y = hinge + 64.0
    for share, name, colour in ((swing, "door", INK), (gap, "win", GLASS)):
        if share:
            write(canvas, edge, y, f"{name} {100 * share:.0f}%", colour, align="right" if side > 0 else "left")
            y += 14.0


def _draw_locks(scene: Scene, seat: str, side: float, hinge: float) -> None:
    """Draw padlocks beside a seat: door, child lock of the door, child lock of the window."""
    locks = (
        (f"door.doors.{seat}.is_locked", RED),
        (f"door.doors.{seat}.child_safety_lock_enabled", AMBER),
        (f"window.window_states.{seat}.child_safety_lock", GLASS),
    )
    for i, (path, colour) in enumerate(locks):
        x, y = MIDDLE + side * 95.0, hinge + 34.0 + 18.0 * i
        if scene.readings.on(path):
            scene.lock(x, y, colour)
        scene.shows(box(x, y - 1.0, 14.0, 17.0, 4.0), path)


# -- lids, mirrors, wipers ----------------------------------------------------------------------------------------


def draw_lids(scene: Scene) -> None:
    """Draw front trunk, trunk and fuel flap."""
    read, canvas = scene.readings, scene.canvas
    front, rear = "frontTrunk.", "trunk."
    for shape, path, degree, way in (
        (_HOOD, front, f"{front}open_degree_value", -1.0),
        (_LID, rear, f"{rear}current_open_degree_percentage", 1.0),
    ):
        share = read.share(degree)
        if share:
            canvas.fill(shape, (20, 24, 30))
            canvas.line(shape, 1.5, SEAM, closed=True)
        panel = shape + np.array((0.0, way * 44.0 * share))
        if share:
            canvas.fill(panel + np.array((0.0, 3.0)), (0, 0, 0), 0.35)
        canvas.fill(panel, mixed(SHADE, PAINT, 0.3), to=PAINT, along="mirror")
        canvas.line(panel, 1.2, SEAM, closed=True)
        middle = float(panel[:, 1].mean())
        state = read.word(f"{path}state")
        locked = read.on(f"{path}is_locked")
        if locked:
            scene.lock(MIDDLE + (0.0 if state == "closed" and not share else 40.0), middle, RED)
        if share or state != "closed":
            write(canvas, MIDDLE, middle, f"{state} {100 * share:.0f}%", DARK, align="middle", bold=True)
        leaves = ("open_degree_value", "open_degree_unit") if path == front else ("current_open_degree_percentage",)
        also = () if path == front else ("current_open_degree_gear", "current_open_degree_cm", "is_in_motion")
        scene.shows(panel, f"{path}state", f"{path}is_locked", *(f"{path}{leaf}" for leaf in (*leaves, *also)))
    _draw_fuel(scene)


def _draw_fuel(scene: Scene) -> None:
    """Draw the fuel flap on the right side behind the doors."""
    read, canvas = scene.readings, scene.canvas
    x, y = MIDDLE + 104.0, 598.0
    opened, locked = read.on("fuelPort.is_open"), read.on("fuelPort.is_locked")
    flap = box(x + 3.0, y, 9.0, 20.0, 3.0)
    canvas.fill(flap, (16, 20, 26) if opened else mixed(PAINT, SHADE, 0.6))
    canvas.line(flap, 1.2, SEAM, closed=True)
    if opened:
        canvas.fill(disc(x + 3.0, y, 3.5), AMBER)
        lid = rotated(box(x + 8.0, y, 4.0, 20.0, 2.0), -70.0, x + 8.0, y - 10.0)
        canvas.fill(lid, PAINT)
        canvas.line(lid, 1.0, SEAM, closed=True)
        write(canvas, x + 34.0, y + 4.0, "fuel open", AMBER)
    if locked:
        scene.lock(x - 12.0, y, RED)
    scene.shows(box(x, y, 40.0 if locked else 22.0, 28.0, 6.0), "fuelPort")


def draw_mirrors(scene: Scene) -> None:
    """Draw the outside mirrors: folded or not, where they look, heated or not."""
    read, canvas = scene.readings, scene.canvas
    for side, name in ((-1.0, "left"), (1.0, "right")):
        path = f"rearviewMirror.{name}_mirror."
        opened = read.on(f"{path}is_open")
        x, y = _SIDE + (14.0 if opened else 5.0), 248.0 if opened else 256.0
        shell = rotated(disc(x, y, 17.0, 0.46), -16.0 if opened else 78.0, x, y)
        glass = rotated(box(x, y + 3.0, 26.0, 5.0, 2.5), -16.0 if opened else 78.0, x, y)
        spot = np.array(
            (
                x + (read.share(f"{path}horizontal_position") - 0.5) * 20.0,
                y + 3.0 + (0.5 - read.share(f"{path}height")) * 9.0,
            )
        )

        def place(points: Array, side: float = side) -> Array:
            return _at_side(points, side)

        heated = read.on("rearviewMirror.heating_enabled")
        canvas.fill(place(shell), PAINT, to=SHADE)
        canvas.line(place(shell), 1.0, SEAM, closed=True)
        canvas.fill(place(glass), RED if heated else (70, 104, 130))
        centre = place(spot[None, :])[0]
        canvas.fill(disc(float(centre[0]), float(centre[1]), 2.6), INK)
        if heated:
            canvas.glow(float(centre[0]), float(centre[1]), 30.0, RED, 0.5)
        scene.shows(place(shell), path.removesuffix("."))


def draw_wipers(scene: Scene) -> None:
    """Draw the wipers: resting, or in the middle of a sweep whose width tells the speed."""
    read, canvas = scene.readings, scene.canvas
    for path, pivots, length, turn in (
        ("wiper.front_wiper.", ((MIDDLE - 58.0, 191.0), (MIDDLE + 2.0, 188.0)), 54.0, 1.0),
        ("wiper.rear_wiper.", ((MIDDLE, 640.0),), 40.0, -1.0),
    ):
        is_on, speed = read.on(f"{path}is_on"), read.share(f"{path}speed_setting.value")
        for x, y in pivots:
            angle = (16.0 + 40.0 * speed) * turn if is_on else 3.0 * turn
            if is_on:
                sweep = np.concatenate([polygon((x, y)), arc(x, y, length * 0.8, 0.0, angle, 8)])
                canvas.fill(sweep, (200, 226, 244), 0.16 + 0.22 * speed)
            tip = rotated(polygon((x + length, y)), angle, x, y)[0]
            canvas.line(polygon((x, y), (float(tip[0]), float(tip[1]))), 2.4, (12, 15, 19))
            canvas.fill(disc(x, y, 3.0), (12, 15, 19))
        x, y = pivots[0]
        if is_on:
            unit = "%" if read.word(f"{path}speed_setting.unit") == "percentage" else ""
            label = f"wiper {read.word(f'{path}speed_setting.value')}{unit}"
            write(canvas, MIDDLE + 128.0, 216.0 if turn > 0 else 660.0, label, MUTED)
        frame = box(MIDDLE, 198.0, 130.0, 18.0, 4.0) if turn > 0 else box(MIDDLE + 18.0, 634.0, 56.0, 16.0, 4.0)
        scene.shows(frame, path.removesuffix("."))


def _at_side(points: Array, side: float) -> Array:
    """Return points, counted from the middle of the car to the right, on the side meant."""
    placed: Array = (points if side > 0 else mirrored(points)) + np.array((MIDDLE, 0.0))
    return placed
