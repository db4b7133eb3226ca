"""Panels next to the car: what cannot be seen from above is written, on screens as bright as the car's own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from palaestra.envs.vehicle.render.lettering import write
from palaestra.envs.vehicle.render.readings import clock, figure
from palaestra.envs.vehicle.render.scene import (
    ACCENT,
    AMBER,
    BLUE,
    DARK,
    FAINT,
    GREEN,
    INK,
    LINE,
    MUTED,
    PANEL,
    RED,
    WIDTH,
    Scene,
    mixed,
)  # fmt: skip
from palaestra.envs.vehicle.render.shapes import box, disc, polygon, smooth

_MARGIN, _WIDTH, _PITCH = 14.0, 206.0, 16.0
_CLIMATE = (
    ("AUTO", "auto_mode"), ("A/C", "ac_mode"), ("HEAT", "heat_mode"), ("COOL", "cool_mode"), ("DEFROST", "defrost_mode"),
    ("DEFOG", "auto_defog_mode"), ("ECO", "energy_saving_mode"), ("PARKED", "parking_ventilation_mode"),
    ("PAGE", "ac_view_open"),
)  # fmt: skip
_MIRRORS = (
    ("FLIP", "auto_flip_enabled"), ("FOLD", "auto_fold_enabled"), ("ADJUST", "auto_adjust_enabled"),
    ("HEAT", "heating_enabled"), ("ASSIST", "auxiliary_view_enabled"), ("PAGE", "view_page_open"),
)  # fmt: skip


class _Column:
    """Panels one below the other."""

    def __init__(self, scene: Scene, left: float) -> None:
        """Start at the top."""
        self.scene = scene
        self.read = scene.readings
        self.left = left
        self.y = _MARGIN

    def panel(self, title: str, rows: float, light: float = 0.0, *paths: str) -> None:
        """Begin a panel of so many rows; `light` is how bright a screen is."""
        height = rows * _PITCH + 24.0
        frame = box(self.left + _WIDTH / 2, self.y + height / 2, _WIDTH, height, 8.0)
        glow = mixed(PANEL, (52, 78, 106), light)
        self.scene.canvas.fill(frame, glow, to=mixed(glow, PANEL, 0.6) if light else None)
        self.scene.canvas.line(frame, 1.0, mixed(LINE, ACCENT, light * 0.7), closed=True)
        write(self.scene.canvas, self.left + 10.0, self.y + 12.0, title, MUTED, size=7.0, bold=True)
        if paths:
            self.scene.shows(frame, *paths)
        self.y += 26.0
        self._end = self.y - 26.0 + height + 8.0

    def close(self) -> None:
        """End a panel."""
        self.y = self._end

    def row(self, label: str, value: str, *paths: str, colour: tuple[float, float, float] = INK) -> None:
        """Write a label and its value."""
        canvas = self.scene.canvas
        used = write(canvas, self.left + 10.0, self.y, label, MUTED)
        begin = max(used + 18.0, 74.0)
        write(canvas, self.left + begin, self.y, value, colour, room=_WIDTH - begin - 10.0)
        self._mark(*paths)
        self.y += _PITCH

    def bar(self, label: str, share: float, text: str, *paths: str, colour: tuple[float, float, float] = ACCENT) -> None:
        """Draw a quantity as a bar."""
        canvas = self.scene.canvas
        write(canvas, self.left + 10.0, self.y, label, MUTED)
        begin, end = self.left + 74.0, self.left + _WIDTH - 48.0
        canvas.line(polygon((begin, self.y), (end, self.y)), 5.0, mixed(DARK, LINE, 0.7))
        if share > 0:
            canvas.line(polygon((begin, self.y), (begin + (end - begin) * share, self.y)), 5.0, colour)
        write(canvas, self.left + _WIDTH - 10.0, self.y, text, INK, align="right")
        self._mark(*paths)
        self.y += _PITCH

    def chips(self, chips: Sequence[tuple[str, str]]) -> None:
        """Draw switches as labels that are lit when on, in as many lines as they need."""
        canvas = self.scene.canvas
        x = self.left + 10.0
        for label, path in chips:
            width = len(label) * 6.4 + 10.0
            if x + width > self.left + _WIDTH - 6.0:
                x, self.y = self.left + 10.0, self.y + _PITCH
            on = self.read.on(path)
            shape = box(x + width / 2, self.y, width, 12.0, 4.0)
            canvas.fill(shape, ACCENT if on else LINE, 1.0 if on else 0.55)
            write(canvas, x + width / 2, self.y, label, DARK if on else MUTED, size=6.0, align="middle", bold=on)
            self.scene.shows(shape, path)
            x += width + 4.0
        self.y += _PITCH

    def _mark(self, *paths: str) -> None:
        self.scene.shows(box(self.left + _WIDTH / 2, self.y, _WIDTH - 8.0, 14.0, 4.0), *paths)


def draw_panels(scene: Scene) -> None:
    """Draw both columns."""
    left, right = _Column(scene, _MARGIN), _Column(scene, WIDTH - _MARGIN - _WIDTH)
    _center_display(left)
    _media(left)
    _phone(left)
    _navigation(left)
    _instruments(right)
    _screens(right)
    _climate(right)
    _lights(right)
    _functions(right)


def _center_display(column: _Column) -> None:
    """What all share, on the center display."""
    read, canvas, path = column.read, column.scene.canvas, "centerInformationDisplay.brightness_settings."
    light = read.share(f"{path}brightness_level")
    column.panel("CENTER DISPLAY", 6.2, light)
    date, time = clock(read.word("environment.timestamp"), read.word("environment.time_display_format").startswith("12"))
    write(canvas, column.left + 10.0, column.y + 7.0, time, INK, size=18.0)
    temperature = f"{figure(read.number('environment.temperature'))}°"
    write(canvas, column.left + _WIDTH - 10.0, column.y + 7.0, temperature, INK, size=18.0, align="right")
    scene = column.scene
    scene.shows(
        box(column.left + 60.0, column.y + 7.0, 112.0, 26.0, 5.0), "environment.timestamp", "environment.time_display_format"
    )
    scene.shows(box(column.left + _WIDTH - 36.0, column.y + 7.0, 60.0, 26.0, 5.0), "environment.temperature")
    column.y += 30.0
    column.row("date", date)
    language = read.word("environment.language")
    shown = {"Chinese": "ZH  Chinese", "English": "EN  English"}.get(language, language)
    column.row("language", shown, "environment.language")
    column.row("distance", read.word("environment.unit_system"), "environment.unit_system")
    column.bar("light", light, f"{100 * light:.0f}%", f"{path}brightness_level", f"{path}brightness_unit")
    column.close()


def _media(column: _Column) -> None:
    """Volume, channel, and what music, radio and video play."""
    read = column.read
    column.panel("MEDIA", 11)
    volume = read.share("environment.volume")
    column.bar("volume", volume, read.word("environment.volume"), "environment.volume")
    column.row("channel", read.word("environment.sound_channel"), "environment.sound_channel", colour=ACCENT)
    track, playing = read.track, read.on("music._is_playing")
    column.row(
        "music >" if playing else "music",
        _title(track),
        "music._is_playing", "music._current_track_index", "music._current_playlist",
        colour=GREEN if playing else INK,
    )  # fmt: skip
    counts = f"{len(read.items('music._favorite_tracks'))} liked, {len(read.items('music._history_tracks'))} past"
    column.row("", str(track.get("artist", "")) if track else "", "music._tracks")
    column.row("", read.word("music._playback_mode"), "music._playback_mode")
    column.row("", counts, *(f"music._{name}_tracks" for name in ("favorite", "history", "local", "downloaded")))
    column.chips([("LYRICS", "music._show_lyrics"), ("PLAYLIST", "music._show_playlist")])
    station, on_air = read.item("radio._current_station"), read.on("radio._is_playing")
    text = f"{_title(station)} {station.get('frequency_value', '')}" if station else "-"
    column.row("radio >" if on_air else "radio", text, "radio", colour=GREEN if on_air else INK)
    video, running = read.item("video.current_video"), read.on("video.is_playing")
    column.row(
        "video >" if running else "video",
        _title(video),
        "video.is_playing", "video.current_video", "video.favorites", "video.history", "video.local_videos",
        "video.downloaded_videos",
        colour=GREEN if running else INK,
    )  # fmt: skip
    column.row("", read.word("video.quality") + ("  liked" if video and video.get("is_liked") else ""), "video.quality")
    column.chips([("FULL", "video.is_fullscreen"), ("COMMENTS", "video.danmaku_enabled"), ("SKIP INTRO", "video.skip_intro")])
    column.close()


def _phone(column: _Column) -> None:
    """Telephone and bluetooth."""
    read, path = column.read, "conversation."
    column.panel("PHONE", 4)
    state = read.word(f"{path}call_state")
    column.row("call", state, f"{path}call_state", colour=INK if state == "idle" else GREEN)
    column.row("contact", read.word(f"{path}current_contact") or "-", f"{path}current_contact", f"{path}last_called_contact")
    unread = sum(1 for message in read.items(f"{path}messages") if not message.get("read"))
    text = f"{unread} unread, {len(read.items(f'{path}contacts'))} known"
    column.row("messages", text, f"{path}messages", f"{path}contacts", f"{path}call_records")
    column.chips([("HANDS FREE", f"{path}hands_free"), ("BLUETOOTH", "bluetooth.is_enabled")])
    column.scene.seen.add("bluetooth")
    column.close()


def _navigation(column: _Column) -> None:
    """A sketch of the route on a map, and how the guide speaks."""
    read, canvas, path = column.read, column.scene.canvas, "navigation."
    column.panel("NAVIGATION", 8.4)
    x, y, wide, high = column.left + _WIDTH / 2, column.y + 22.0, _WIDTH - 20.0, 56.0
    view = read.word(f"{path}map_view")
    active, stops = read.on(f"{path}is_active"), read.items(f"{path}waypoints")
    frame = box(x, y, wide, high, 5.0)
    canvas.fill(frame, (34, 46, 58) if not active else (30, 52, 66))
    zoom = read.share(f"{path}map_zoom_level")
    spacing = 12.0 + 26.0 * zoom
    lean = {"3D view": 14.0, "Heading up": 6.0, "North up": -6.0}.get(view, 0.0)
    for i in range(-int(wide / spacing / 2), int(wide / spacing / 2) + 1):
        top, bottom = x + i * spacing * (0.7 if view == "3D view" else 1.0) - lean * 0.4, x + i * spacing + lean * 0.4
        if abs(top - x) < wide / 2 - 2 and abs(bottom - x) < wide / 2 - 2:
            canvas.line(polygon((top, y - high / 2 + 3), (bottom, y + high / 2 - 3)), 1.0, (62, 80, 96))
    for i in range(-int(high / spacing / 2), int(high / spacing / 2) + 1):
        canvas.line(polygon((x - wide / 2 + 3, y + i * spacing), (x + wide / 2 - 3, y + i * spacing)), 1.0, (62, 80, 96))
    if read.on(f"{path}traffic_status_enabled"):
        canvas.line(polygon((x - 60, y + 16), (x + 8, y + 16)), 3.0, RED)
        canvas.line(polygon((x + 8, y + 16), (x + 70, y + 16)), 3.0, GREEN)
    if read.on(f"{path}speed_camera_enabled"):
        canvas.fill(disc(x + 40.0, y + 4.0, 5.0), AMBER)
        write(canvas, x + 40.0, y + 4.0, "!", DARK, align="middle", size=6.0, bold=True)
    if active:
        way = smooth(
            polygon((x - 78, y + 20), (x - 40, y + 18), (x - 20, y - 12), (x + 30, y - 4), (x + 50, y - 20), (x + 80, y - 18)),
            closed=False,
        )
        canvas.line(way, 4.0, ACCENT)
        for i in range(min(4, len(stops))):
            at = way[int((i + 1) / (len(stops[:4]) + 1) * (len(way) - 1))]
            canvas.fill(disc(float(at[0]), float(at[1]), 4.0), INK)
        canvas.fill(disc(x + 80.0, y - 18.0, 5.5), RED)
        canvas.fill(disc(x + 80.0, y - 18.0, 2.2), INK)
    canvas.fill(polygon((x - 78, y + 13), (x - 72, y + 26), (x - 78, y + 22), (x - 84, y + 26)), BLUE if active else FAINT)
    write(canvas, x + wide / 2 - 6.0, y + high / 2 - 7.0, f"{view}  zoom {read.word(f'{path}map_zoom_level')}", MUTED,
          align="right", size=6.0)  # fmt: skip
    column.scene.shows(
        frame,
        *(f"{path}{leaf}" for leaf in ("map_view", "map_zoom_level", "traffic_status_enabled", "speed_camera_enabled")),
    )
    column.y += 62.0
    route = read.item(f"{path}current_route")
    goal = str(route.get("destination") or "-") if route else "-"
    column.row("to", goal, f"{path}current_route", f"{path}is_active", colour=GREEN if active else INK)
    names = ", ".join(str(stop.get("location", "")) for stop in stops)
    column.row("stops", f"{len(stops)}  {names}" if stops else "none", f"{path}waypoints")
    mode = read.word(f"{path}broadcast_mode")
    column.row("voice", mode, f"{path}broadcast_mode")
    column.chips(
        [
            ("VOICE", f"{path}voice_notifications_enabled"),
            ("TRAFFIC", f"{path}traffic_status_enabled"),
            ("CAMERAS", f"{path}speed_camera_enabled"),
        ]
    )
    column.close()


def _instruments(column: _Column) -> None:
    """The panel before the driver."""
    read, path = column.read, "instrumentPanel."
    light = read.share(f"{path}brightness")
    column.panel("INSTRUMENTS", 6.8, light)
    canvas = column.scene.canvas
    x, y = column.left + 52.0, column.y + 14.0
    themed = read.word(f"{path}theme") == "Map"
    for at in (x, column.left + _WIDTH - 52.0):
        canvas.line(disc(at, y, 20.0), 2.5, mixed(FAINT, GREEN if themed else ACCENT, 0.3 + 0.7 * light), closed=True)
        canvas.line(polygon((at, y), (at - 11.0, y - 9.0)), 2.0, RED)
        canvas.fill(disc(at, y, 3.0), INK)
    if themed:
        canvas.line(polygon((x + 36, y + 16), (x + 46, y - 2), (x + 60, y + 4), (x + 66, y - 16)), 3.0, ACCENT)
    write(canvas, column.left + _WIDTH / 2, y + 24.0, read.word(f"{path}theme"), MUTED, size=6.0, align="middle")
    column.scene.shows(box(column.left + _WIDTH / 2, y + 2.0, 60.0, 52.0, 6.0), f"{path}theme")
    column.y += 52.0
    unit = read.word(f"{path}distance_unit")
    column.row("mileage", f"{figure(read.number(f'{path}vehicle_mileage'))} {unit}", f"{path}distance_unit")
    column.bar("light", light, f"{100 * light:.0f}%", f"{path}brightness", f"{path}brightness_unit")
    column.chips([("AUTO LIGHT", f"{path}auto_brightness")])
    column.close()


def _screens(column: _Column) -> None:
    """Center display's automatic, overhead screen and head-up display."""
    read, top, hud = column.read, "overheadScreen.", "HUD."
    column.panel("SCREENS", 6)
    column.row("overhead", read.word(f"{top}state"), f"{top}state", colour=GREEN if read.on(f"{top}state") else INK)
    column.bar("  light", read.share(f"{top}brightness_percentage"), read.percent(f"{top}brightness_percentage"),
               *(f"{top}{leaf}" for leaf in ("brightness_percentage", "brightness_gear", "brightness_nit")))  # fmt: skip
    on = read.on(f"{hud}is_on")
    column.row("HUD", "on" if on else "off", f"{hud}is_on", colour=GREEN if on else INK)
    column.bar(
        "  light", read.share(f"{hud}brightness.percentage"), read.percent(f"{hud}brightness.percentage"), f"{hud}brightness"
    )
    column.bar("  height", read.share(f"{hud}height.percentage"), read.percent(f"{hud}height.percentage"), f"{hud}height")
    column.chips([("CENTER AUTO LIGHT", "centerInformationDisplay.brightness_settings.auto_brightness")])
    column.close()


def _climate(column: _Column) -> None:
    """What the whole air conditioner does."""
    read, path = column.read, "airConditioner."
    column.panel("CLIMATE", 5)
    column.chips([(label, f"{path}{leaf}") for label, leaf in _CLIMATE])
    column.row("air", read.word(f"{path}circulation_mode"), f"{path}circulation_mode")
    column.row("filter", read.word(f"{path}purification_mode"), f"{path}purification_mode")
    column.close()


def _lights(column: _Column) -> None:
    """The outside lights."""
    read, low, high = column.read, "lowBeamHeadlight.", "highBeamHeadlight."
    column.panel("LIGHTS", 5)
    mode = read.word(f"{low}mode")
    column.row("low beam", mode, f"{low}mode", colour=INK if mode == "off" else GREEN)
    height = ("height_level", "height_percentage", "height_centimeter")
    column.bar(
        "  height", read.share(f"{low}height_level"), read.percent(f"{low}height_level"), *(f"{low}{h}" for h in height)
    )
    delay = f"{read.word(f'{high}delay_off_duration_seconds')} s"
    column.row("delay", delay, f"{high}delay_off_duration_seconds")
    column.chips(
        [
            ("HIGH", f"{high}high_beam_on"),
            ("DELAYED", f"{high}delay_off_enabled"),
            ("TAIL", "tailLight.is_on"),
            ("FOG F", "fogLight.front_light.is_on"),
            ("FOG R", "fogLight.rear_light.is_on"),
            ("POSITION", "positionLight.is_on"),
            ("HAZARD", "hazardLight.is_active"),
        ]
    )
    column.close()


def _functions(column: _Column) -> None:
    """Automatic functions and open pages of mirrors, wheel, seats and windows."""
    column.panel("MIRRORS", 2)
    column.chips([(label, f"rearviewMirror.{leaf}") for label, leaf in _MIRRORS])
    column.close()
    column.panel("AUTOMATIC AND PAGES", 3)
    column.chips(
        [
            ("WINDOWS CLOSE", "window.auto_close_on_lock"),
            ("SHADES CLOSE", "sunshade.leave_and_lock_auto_close_enabled"),
            ("READING AUTO", "readingLight.auto_mode"),
            ("SEAT PAGE", "seat.view_page_open"),
            ("WHEEL PAGE", "steeringWheel.is_view_open"),
        ]
    )
    column.close()


def _title(record: Mapping[str, object] | None) -> str:
    """Return the title of a track, station or video."""
    return "-" if record is None else str(record.get("title") or record.get("name") or "-")
