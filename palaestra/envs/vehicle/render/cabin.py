"""The car's inside: dashboard, six seats with their comfort and air, roof and shades."""

from __future__ import annotations

import math

import numpy as np

from palaestra.envs.vehicle.car.tables import SEATS
from palaestra.envs.vehicle.render.lettering import write
from palaestra.envs.vehicle.render.readings import clock, figure
from palaestra.envs.vehicle.render.scene import (
    ACCENT,
    AMBER,
    BLUE,
    DARK,
    GREEN,
    INK,
    MIDDLE,
    MUTED,
    RED,
    VIOLET,
    WARM,
    Scene,
    mixed,
    seat_place,
)  # fmt: skip
from palaestra.envs.vehicle.render.shapes import Array, arc, box, disc, polygon, rotated, smooth

_SEAM = (74, 86, 102)
_LEATHER, _EDGE = (92, 102, 116), (132, 144, 160)
_MODES = ("wave", "cat step", "stretch", "snake", "butterfly", "shoulder", "upper back", "waist", "full back", "random")
_OUTLETS = {
    "face": "f", "feet": "e", "window": "w", "face and feet": "fe", "face and window": "fw", "feet and window": "ew",
    "random": "few", "all": "few",
}  # fmt: skip
_ARROWS = {"up": "↑", "down": "↓", "left": "←", "right": "→"}


def draw_dashboard(scene: Scene) -> None:
    """Draw the dashboard with steering wheel and screens; what the screens tell stands large next to the car."""
    read, canvas = scene.readings, scene.canvas
    board = smooth(
        polygon((388, 250), (430, 244), (530, 244), (572, 250), (577, 272), (540, 278), (480, 280), (420, 278), (383, 272)), 2
    )
    canvas.fill(board, (40, 47, 57), to=(24, 29, 36))
    panel_light = read.share("instrumentPanel.brightness")
    cluster = box(MIDDLE - 54.0, 244.0, 46.0, 13.0, 3.0)
    canvas.fill(cluster, mixed((16, 24, 34), (120, 190, 255), 0.15 + 0.75 * panel_light))
    scene.shows(cluster, "instrumentPanel")
    center = box(MIDDLE, 244.0, 38.0, 18.0, 3.0)
    light = read.share("centerInformationDisplay.brightness_settings.brightness_level")
    canvas.fill(center, mixed((16, 24, 34), (120, 190, 255), 0.15 + 0.75 * light))
    _, time = clock(read.word("environment.timestamp"), read.word("environment.time_display_format").startswith("12"))
    time = time.partition(" ")[0]
    write(canvas, MIDDLE, 244.0, time, DARK if light > 0.35 else INK, align="middle")
    scene.shows(center, "centerInformationDisplay")
    _draw_hud(scene)
    heated = read.on("steeringWheel.is_heater_on")
    level = read.share("steeringWheel.heater_level")
    x, y = MIDDLE - 56.0, 266.0
    if heated:
        canvas.glow(x, y, 36.0, RED, 0.25 + 0.7 * level)
    rim = disc(x, y, 18.0, 0.62)
    canvas.line(rim, 4.5, mixed((140, 60, 56), RED, level) if heated else (58, 66, 78), closed=True)
    canvas.line(polygon((x - 16, y), (x + 16, y)), 3.0, (58, 66, 78))
    canvas.fill(disc(x, y, 5.5, 0.8), (58, 66, 78))
    if heated:
        write(canvas, x, y - 0.5, read.word("steeringWheel.heater_level"), INK, align="middle", size=7.0)
    scene.shows(disc(x, y, 21.0, 0.68), "steeringWheel")


def _draw_hud(scene: Scene) -> None:
    """Draw the head-up display on the windscreen before the driver."""
    read, canvas = scene.readings, scene.canvas
    x, y = MIDDLE - 48.0, 219.0 - 12.0 * read.share("HUD.height.percentage")
    frame = box(x, y, 44.0, 14.0, 4.0)
    if read.on("HUD.is_on"):
        light = read.share("HUD.brightness.percentage")
        canvas.glow(x, y, 34.0, GREEN, 0.15 + 0.5 * light)
        canvas.line(frame, 1.2, GREEN, 0.3 + 0.7 * light, closed=True)
        write(canvas, x, y, "HUD", GREEN, align="middle", size=7.0, alpha=0.4 + 0.6 * light)
    scene.shows(frame, "HUD")


# -- seats --------------------------------------------------------------------------------------------------------


def draw_seats(scene: Scene) -> None:
    """Draw all seats."""
    for seat in SEATS:
        _draw_seat(scene, seat)


def _draw_seat(scene: Scene, seat: str) -> None:
    """Draw a seat: its parts by position, then comfort, light, air and who sits there."""
    read, canvas = scene.readings, scene.canvas
    path, place = f"seat.{seat}.", f"seat.{seat}.position."
    x, y, side = seat_place(seat)
    y += (read.share(f"{place}horizontal_position") - 0.5) * 8.0
    lift = read.share(f"{place}vertical_position")
    length = 32.0 + 9.0 * read.share(f"{place}cushion_length")
    lean = 10.0 + 12.0 * read.share(f"{place}backrest_angle")
    back = y + 14.0
    head = back + lean + 3.0 + 7.0 * read.share(f"{place}headrest_height")
    front = back - length
    shown: list[Array] = []

    def part(shape: Array, colour: tuple[float, float, float], to: tuple[float, float, float] | None = None) -> None:
        canvas.fill(shape, colour, to=to)
        canvas.line(shape, 1.0, (16, 20, 26), 0.8, closed=True)
        shown.append(shape)

    canvas.fill(box(x, y + 3.0 + 3.0 * lift, 60.0 + 4.0 * lift, 60.0, 12.0), (0, 0, 0), 0.18 + 0.3 * lift)
    for leaf, reach in (("leg_rest_height", 7.0), ("feet_rest_height", 13.0)):
        if share := read.share(f"{place}{leaf}"):
            part(box(x, front - reach * 0.5 - 5.0 * share, 40.0, 4.0 + 6.0 * share, 2.5), mixed(_LEATHER, DARK, 0.3))
    tilt = read.share(f"{place}cushion_angle")
    bright = mixed(_LEATHER, (255, 255, 255), 0.10 * lift)
    part(box(x, back - length / 2, 57.0, length, 9.0), mixed(bright, DARK, 0.45 * tilt), mixed(bright, (255, 255, 255), 0.12))
    for edge in (-1.0, 1.0):
        canvas.line(polygon((x + edge * 21, front + 5), (x + edge * 21, back - 4)), 1.0, _EDGE, 0.5)
    folded = read.on(f"{place}is_folded")
    if folded:
        part(box(x, back - 12.0, 55.0, 32.0, 8.0), mixed(_LEATHER, DARK, 0.35))
        canvas.line(polygon((x - 18, back - 12), (x + 18, back - 12)), 1.5, _EDGE)
        write(canvas, x, back - 20.0, "folded", INK, align="middle", size=7.0)
    else:
        part(box(x, head + 3.0, 26.0, 8.0, 4.0), mixed(_LEATHER, _EDGE, 0.4))
        part(box(x, back + lean / 2, 55.0, lean, 6.0), mixed(_LEATHER, _EDGE, 0.5), mixed(_LEATHER, DARK, 0.3))
    for shape, leaves in zip(
        (shown[-1], box(x, back - length / 2, 57.0, length, 9.0), box(x, head + 3.0, 26.0, 8.0, 4.0)),
        (
            ("is_folded", "backrest_angle"),
            (
                "horizontal_position", "vertical_position", "cushion_length", "cushion_angle",
                "leg_rest_height", "feet_rest_height", "guest_welcome_mode",
            ),
            ("headrest_height",),
        ),
        strict=True,
    ):  # fmt: skip
        scene.shows(shape, *(f"{place}{leaf}" for leaf in leaves))
    _draw_comfort(scene, path, x, (front, back, back + lean), folded)
    if read.word("environment.speaker") == seat:
        _draw_person(scene, x, back + 1.0)
    if read.on(f"{place}guest_welcome_mode"):
        write(canvas, x, front + 6.0, "welcome", GREEN, align="middle", size=6.0)
    _draw_light(scene, seat, x, y, side)
    _draw_air(scene, seat, x, front, side)


def _draw_person(scene: Scene, x: float, y: float) -> None:
    """Draw whoever speaks, with waves of sound."""
    canvas = scene.canvas
    canvas.fill(disc(x, y - 1.0, 22.0, 0.44), (38, 104, 160))
    canvas.line(disc(x, y - 1.0, 22.0, 0.44), 1.2, ACCENT, closed=True)
    canvas.fill(disc(x, y - 3.0, 9.0), (236, 196, 164))
    canvas.fill(arc(x, y - 3.0, 9.0, -10.0, 190.0), (70, 50, 38))
    for radius in (13.0, 17.0, 21.0):
        canvas.line(arc(x, y - 6.0, radius, -122.0, -58.0), 1.6, ACCENT, 1.1 - radius / 30.0)
    scene.shows(disc(x, y - 1.0, 24.0, 0.62), "environment.speaker")


def _draw_comfort(scene: Scene, path: str, x: float, edges: tuple[float, float, float], folded: bool) -> None:
    """Draw heating (red), ventilation (blue) and massage (violet waves) on cushion and backrest."""
    front, back, end = edges
    read, canvas = scene.readings, scene.canvas
    for group, leaf, colour, way, felt in (
        ("heater", "temperature_level", RED, -1.0, box(x, (front + back) / 2, 55.0, back - front - 2.0, 9.0)),
        ("ventilation", "airflow_level", BLUE, 1.0, box(x, (back + end) / 2, 53.0, end - back - 2.0, 5.0)),
    ):
        level = int(min(5.0, max(0.0, read.number(f"{path}{group}.{leaf}"))))
        bars = box(x + way * 15.0, front + 17.0, 24.0, 7.0, 2.0)
        if read.on(f"{path}{group}.is_on"):
            canvas.fill(felt, colour, 0.10 + 0.08 * level)
            canvas.glow(x + way * 12.0, (front + back) / 2, 34.0, colour, 0.15 + 0.10 * level)
            for i in range(5):
                bar = box(x + way * 15.0 + (i - 2) * 4.6, front + 17.0, 3.2, 6.0, 1.0)
                canvas.fill(bar, colour if i < level else DARK, 1.0 if i < level else 0.5)
        leaves = ("is_on", leaf, *(leaf.replace("level", end) for end in ("value", "unit")))
        scene.shows(bars, *(f"{path}{group}.{name}" for name in leaves))
    massage = f"{path}massager."
    y = back - 8.0 if folded else end - (end - back) / 2
    mode = read.word(f"{massage}active_mode")
    if read.on(f"{massage}is_on"):
        level = int(min(5.0, max(1.0, read.number(f"{massage}intensity_level"))))
        beat = 3 + _MODES.index(mode) % 5 if mode in _MODES else 2
        steps = np.linspace(0.0, 1.0, 30)
        swing = 1.0 + 0.6 * level
        for offset in (-2.5, 2.5):
            wave = np.stack([x - 24 + 48 * steps, y + offset + swing * np.sin(steps * beat * 2 * math.pi)], axis=1)
            canvas.line(wave, 1.5, VIOLET)
    if mode:
        y_label = end + 6.0
        canvas.fill(box(x, y_label, 40.0, 9.0, 3.0), DARK, 0.7)
        write(canvas, x, y_label, mode, VIOLET, align="middle", size=6.0, room=48.0)
    scene.shows(box(x, y, 52.0, 16.0, 4.0), massage.removesuffix("."))


def _draw_light(scene: Scene, seat: str, x: float, y: float, side: float) -> None:
    """Draw the reading light above a seat."""
    read, path = scene.readings, f"readingLight.{seat}."
    spot = (x + side * 30.0, y + 34.0)
    share = read.share(f"{path}brightness_value")
    if read.on(f"{path}is_on"):
        scene.canvas.glow(x + side * 6.0, y + 8.0, 62.0, WARM, 0.15 + 0.5 * share)
        scene.canvas.glow(*spot, 18.0, WARM, 0.9)
        scene.canvas.fill(disc(*spot, 4.0), mixed((150, 128, 84), (255, 244, 214), share))
    else:
        scene.canvas.fill(disc(*spot, 3.0), (60, 68, 80))
    scene.shows(disc(*spot, 7.0), path.removesuffix("."))


def _draw_air(scene: Scene, seat: str, x: float, front: float, side: float) -> None:
    """Draw the air that blows at a seat: where to, how strong, how warm."""
    read, canvas, path = scene.readings, scene.canvas, f"airConditioner.ac_states.{seat}."
    warmth = min(1.0, max(0.0, (read.number(f"{path}temperature") - 14.0) / 16.0))
    colour = mixed(BLUE, (232, 236, 240), warmth * 2) if warmth < 0.5 else mixed((232, 236, 240), RED, warmth * 2 - 1)
    wind = min(7.0, max(1.0, read.number(f"{path}wind_speed")))
    ways = {way for mode, letters in _OUTLETS.items() if read.on(f"{path}outlet_modes.{mode}") for way in letters}
    sweep = read.word(f"{path}sweeping_mode")
    is_on = read.on(f"{path}is_on")
    y = front - 13.0
    strength = 1.0 if is_on else 0.35
    if is_on or ways or sweep:
        canvas.fill(box(x, y - 1.0, 26.0, 3.0, 1.5), colour, strength)
        reach = 4.0 + 1.6 * wind
        for way, begin, turn in (
            ("f", 0.0, 90.0),
            ("e", -side * 14.0, 90.0 + side * 30.0),
            ("w", side * 14.0, 90.0 - side * 62.0),
        ):
            if way in ways or (not ways and way == "f"):
                _draw_arrow(scene, x + begin, y + 2.0, turn, reach, colour, strength * (1.0 if ways else 0.6), bool(sweep))
    direction = read.word(f"{path}outlet_direction")
    if is_on:
        label = f"{figure(read.number(f'{path}temperature'))}°{_ARROWS.get(direction, '')}"
        write(canvas, x, y - 10.0, label, colour, align="middle", bold=True)
    elif direction:
        write(canvas, x, y - 10.0, _ARROWS.get(direction, direction), MUTED, align="middle")
    if sweep:
        letters = "".join(word[0] for word in sweep.split()) if " " in sweep else sweep[:2]
        write(canvas, x + side * 30.0, y - 10.0, letters, MUTED, align="middle", size=6.0)
    if read.on(f"{path}child_safety_lock"):
        scene.lock(x - side * 24.0, y - 8.0, ACCENT)
    scene.shows(box(x, y - 4.0, 58.0, 24.0, 6.0), path.removesuffix("."))


def _draw_arrow(
    scene: Scene, x: float, y: float, turn: float, reach: float, colour: tuple[float, float, float], alpha: float, waves: bool
) -> None:
    """Draw an arrow of air."""
    steps = np.linspace(0.0, 1.0, 13)
    sway = 1.8 * np.sin(steps * 3 * math.pi) if waves else np.zeros_like(steps)
    shaft = rotated(np.stack([x + reach * steps, y + sway], axis=1), turn, x, y)
    head = rotated(polygon((x + reach - 3.5, y - 3.5), (x + reach + 0.5, y), (x + reach - 3.5, y + 3.5)), turn, x, y)
    scene.canvas.line(shaft, 1.8, colour, alpha)
    scene.canvas.line(head, 1.8, colour, alpha)


# -- roof ---------------------------------------------------------------------------------------------------------


def draw_roof(scene: Scene) -> None:
    """Draw what lies above the aisle: sunroof, shades, overhead screen."""
    read, canvas = scene.readings, scene.canvas
    top, middle, bottom, half = 292.0, 404.0, 512.0, 17.0
    frame = box(MIDDLE, (top + bottom) / 2, 2 * half + 6.0, bottom - top + 8.0, 8.0)
    canvas.fill(frame, (46, 54, 65))
    canvas.line(frame, 1.0, _SEAM, closed=True)
    degree, state = read.share("sunroof.open_degree_percentage"), read.word("sunroof.state")
    front_hole = box(MIDDLE, (top + middle) / 2, 2 * half, middle - top - 4.0, 5.0)
    rear_glass = box(MIDDLE, (middle + bottom) / 2, 2 * half, bottom - middle - 4.0, 5.0)
    canvas.fill(front_hole, (150, 206, 246), to=(206, 234, 252))
    canvas.fill(rear_glass, (52, 82, 106), to=(36, 56, 74))
    long = middle - top - 4.0
    slid = top + 2.0 + 0.88 * long * degree
    pane = box(MIDDLE, slid + long / 2, 2 * half, long, 5.0)
    canvas.fill(pane, (58, 92, 118), to=(40, 64, 84))
    canvas.line(polygon((MIDDLE - 10, pane[:, 1].min() + 10), (MIDDLE + 4, pane[:, 1].min() + 4)), 1.5, (220, 238, 250), 0.5)
    if state == "tilted":
        canvas.line(polygon((MIDDLE - half, top + 6), (MIDDLE + half, top + 6)), 3.0, (206, 234, 252))
    scene.shows(front_hole, "sunroof")
    for path, begin, end in (("sunshade.front_row_status.", top, middle), ("sunshade.rear_row_status.", middle, bottom)):
        _draw_shade(scene, path, begin + 2.0, end - 2.0, half)
    if state != "closed" or degree:
        canvas.fill(box(MIDDLE, (top + middle) / 2, 2 * half + 2.0, 24.0, 4.0), DARK, 0.7)
        write(canvas, MIDDLE, (top + middle) / 2 - 5.0, state, INK, align="middle", size=6.0, room=34.0)
        write(canvas, MIDDLE, (top + middle) / 2 + 5.0, f"{100 * degree:.0f}%", INK, align="middle", size=7.0)
    _draw_overhead(scene)


def _draw_shade(scene: Scene, path: str, begin: float, end: float, half: float) -> None:
    """Draw a shade as fabric over the middle of the glass, rolled up as far as it is open."""
    read, canvas = scene.readings, scene.canvas
    share = read.share(f"{path}open_degree_value")
    paused, opened = read.on(f"{path}is_paused"), read.on(f"{path}is_open")
    cover = (end - begin) * (1.0 - 0.9 * share)
    cloth = box(MIDDLE, begin + cover / 2, half * 1.1, cover, 2.0)
    fabric = (150, 134, 112) if not opened else (176, 160, 136)
    canvas.fill(cloth, fabric, 0.9)
    for y in np.arange(begin + 5.0, begin + cover - 2.0, 6.0):
        canvas.line(polygon((MIDDLE - half * 0.5, float(y)), (MIDDLE + half * 0.5, float(y))), 1.0, (110, 96, 78), 0.7)
    canvas.line(
        polygon((MIDDLE - half * 0.55, begin + cover), (MIDDLE + half * 0.55, begin + cover)),
        2.5,
        AMBER if paused else (230, 220, 204),
    )
    if opened and not share:
        canvas.fill(disc(MIDDLE, begin + cover - 6.0, 2.0), GREEN)
    scene.shows(box(MIDDLE, (begin + end) / 2, half * 1.3, end - begin, 3.0), path.removesuffix("."))


def _draw_overhead(scene: Scene) -> None:
    """Draw the screen that folds down from the roof behind the front row."""
    read, canvas = scene.readings, scene.canvas
    opened = read.on("overheadScreen.state")
    light = read.share("overheadScreen.brightness_percentage")
    screen = box(MIDDLE, 536.0, 42.0, 24.0 if opened else 6.0, 3.0)
    canvas.fill(screen, mixed((16, 24, 34), (120, 190, 255), 0.15 + 0.75 * light) if opened else (34, 40, 49))
    canvas.line(screen, 1.2, _SEAM, closed=True)
    if opened:
        form = read.word("overheadScreen.time_display_format")
        _, time = clock(read.word("environment.timestamp"), form.startswith("12"))
        ink = DARK if light > 0.35 else INK
        write(canvas, MIDDLE, 531.0, time.split(" ")[0], ink, align="middle", size=7.0)
        write(
            canvas,
            MIDDLE,
            541.0,
            "ZH" if read.word("overheadScreen.language") == "Chinese" else "EN",
            ink,
            align="middle",
            size=6.0,
        )
    scene.shows(box(MIDDLE, 536.0, 46.0, 28.0, 4.0), "overheadScreen")
