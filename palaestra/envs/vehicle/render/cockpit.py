"""The cockpit in characters: a car seen from above on the left, panels by domain on the right.

Every property that is shown stands behind the paths it is read from, so that changed ones can be marked with `*`. What has
changed without being shown (an entry of a list, a unit) is told below.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Collection, Mapping

from palaestra.envs.vehicle.car.state import CarState
from palaestra.envs.vehicle.car.tables import SEATS
from palaestra.envs.vehicle.render.readings import Readings, clock

WIDTH = 100
MAX_LINES = 40

_DOOR, _SEAT = 11, 22
_CAR = 2 * _DOOR + 2 * _SEAT + 5
_PANEL = WIDTH - _CAR - 2
_TITLES = ("DRIVER", "PASSENGER", "2ND ROW LEFT", "2ND ROW RIGHT", "3RD ROW LEFT", "3RD ROW RIGHT")
_AIR_MODES = (
    ("auto_mode", "auto"),
    ("ac_mode", "a/c"),
    ("heat_mode", "heat"),
    ("cool_mode", "cool"),
    ("defrost_mode", "defrost"),
    ("auto_defog_mode", "defog"),
    ("energy_saving_mode", "eco"),
    ("parking_ventilation_mode", "parked"),
)
_OUTLETS = ("face", "feet", "window", "face and feet", "face and window", "feet and window", "random", "all")


def cockpit_text(state: CarState, changed: Collection[str] = frozenset()) -> str:
    """Return the cockpit as plain text of at most 40 lines of 100 columns.

    Args:
        state: State of the car.
        changed: Full paths of leaves to mark with `*`, e.g. `{"window.window_states.driver's seat.open_degree"}`.
    """
    view = _View(state, changed)
    car, panels = _car(view), _panels(view)
    lines = [f"{_fit(left, _CAR)}  {_fit(right, _PANEL)}".rstrip() for left, right in _zip(car, panels)]
    lines.insert(0, _fit(_head(view), WIDTH).rstrip())
    return "\n".join([*lines, *_unseen(view, MAX_LINES - len(lines))])


class _View(Readings):
    """Readings that remember which paths were shown."""

    __slots__ = ("seen",)

    def __init__(self, state: CarState, changed: Collection[str]) -> None:
        """Start with nothing shown."""
        super().__init__(state, changed)
        self.seen: set[str] = set()

    def show(self, text: str, *paths: str) -> str:
        """Return a text, marked if one of the leaves that it tells about has changed."""
        self.seen.update(paths)
        return f"{text}*" if self.is_changed(*paths) else text

    def word_of(self, path: str, label: str = "") -> str:
        """Show a leaf as its text."""
        return self.show(f"{label}{self.word(path) or '-'}", path)

    def flag(self, path: str, label: str, off: str = "-") -> str:
        """Show a switch: `label on` or `label -`."""
        return self.show(f"{label} {'on' if self.on(path) else off}", path)

    def degree(self, path: str, label: str, *also: str) -> str:
        """Show a quantity as percent of its range."""
        return self.show(f"{label}{self.percent(path)}", path, *also)


def _head(view: _View) -> str:
    """Return the line above everything: what all modules share."""
    env = "environment."
    form = view.word(f"{env}time_display_format")
    date, time = clock(view.word(f"{env}timestamp"), form.startswith("12"))
    parts = [
        view.show(f"{date} {time}", f"{env}timestamp"),
        view.show(form[:2] + " h", f"{env}time_display_format"),
        view.show(f"{view.word(f'{env}temperature')} C", f"{env}temperature"),
        view.word_of(f"{env}language"),
        view.word_of(f"{env}unit_system"),
        view.show(f"speaker: {view.word(f'{env}speaker')}", f"{env}speaker"),
        view.show(
            "bluetooth " + view.word("bluetooth.connection_state").lower(),
            "bluetooth.is_enabled",
            "bluetooth.connection_state",
        ),
    ]
    return "  ".join(parts)


# -- the car ------------------------------------------------------------------------------------------------------


def _car(view: _View) -> list[str]:
    """Return the car from above, nose up."""
    inner = 2 * _SEAT + 3
    lines = [
        _centred(_beams(view), "."),
        _between("/", _front_trunk(view), "\\"),
        *(_row(a, b, c) for a, b, c in zip(_mirror(view, "left"), _dashboard(view), _mirror(view, "right"), strict=True)),
        _row("", "-" * inner, ""),
    ]
    for row in range(3):
        left, right = SEATS[2 * row], SEATS[2 * row + 1]
        doors = _door(view, left), _door(view, right)
        seats = _seat(view, left, _TITLES[2 * row]), _seat(view, right, _TITLES[2 * row + 1])
        for i, (a, b) in enumerate(zip(*seats, strict=True)):
            sides = [door[i] if i < len(door) else "" for door in doors]
            lines.append(_row(sides[0], f"{_fit(a, _SEAT)} . {_fit(b, _SEAT)}", sides[1]))
        lines.append(_row("", _roof(view)[row], ""))
    lines += [
        _between("\\", _trunk(view), "/"),
        _centred(_rear(view), "'"),
    ]
    return lines


def _row(left: str, middle: str, right: str) -> str:
    """Return a line of the car with what stands beside it."""
    return f"{_fit(left, _DOOR)}|{_fit(middle, 2 * _SEAT + 3)}|{_fit(right, _DOOR)}"


def _between(left: str, text: str, right: str) -> str:
    """Return a line across the car's body."""
    return f"{' ' * _DOOR}{left}{_fit(f' {text}', 2 * _SEAT + 3)}{right}"


def _centred(text: str, corner: str) -> str:
    """Return a line across nose or tail."""
    pad = max(0, _CAR - 4 - _width(text)) // 2
    return f" {corner}{'-' * max(0, pad - 2)} {text} {'-' * max(0, _CAR - 6 - pad - _width(text))}{corner}"


def _beams(view: _View) -> str:
    """Tell the lights in front."""
    high, low = "highBeamHeadlight.", "lowBeamHeadlight."
    delay = f" {view.word(f'{high}delay_off_duration_seconds')}s" if view.on(f"{high}delay_off_enabled") else ""
    return "  ".join(
        [
            view.flag("fogLight.front_light.is_on", "fog"),
            view.show(f"low {view.word(f'{low}mode')}", f"{low}mode"),
            view.degree(f"{low}height_level", "h", f"{low}height_percentage", f"{low}height_centimeter"),
            view.flag(f"{high}high_beam_on", "high"),
            view.show(
                f"delay{delay or ' -'}",
                f"{high}delay_off_enabled",
                *([f"{high}delay_off_duration_seconds"] if delay else []),
            ),
        ]
    )


def _rear(view: _View) -> str:
    """Tell the lights behind and around."""
    return "  ".join(
        [
            view.flag("fogLight.rear_light.is_on", "fog"),
            view.flag("tailLight.is_on", "tail"),
            view.show(
                f"position {'on' if view.on('positionLight.is_on') else '-'}", "positionLight.is_on", "positionLight.status"
            ),
            view.show(
                f"hazard {'on' if view.on('hazardLight.is_active') else '-'}", "hazardLight.is_active", "hazardLight.status"
            ),
        ]
    )


def _front_trunk(view: _View) -> str:
    """Tell the lid in front."""
    path = "frontTrunk."
    return "  ".join(
        [
            view.show(f"front trunk {view.word(f'{path}state')}", f"{path}state"),
            view.degree(f"{path}open_degree_value", "", f"{path}open_degree_unit"),
            view.show("locked" if view.on(f"{path}is_locked") else "unlocked", f"{path}is_locked"),
        ]
    )


def _wiper(view: _View, place: str) -> str:
    """Tell one wiper."""
    path = f"wiper.{place}_wiper."
    speed, unit = f"{path}speed_setting.value", f"{path}speed_setting.unit"
    shown = f"{view.word(speed)}{'%' if view.word(unit) == 'percentage' else ''}" if view.on(f"{path}is_on") else "-"
    return view.show(f"{place} wiper {shown}", f"{path}is_on", speed, unit)


def _dashboard(view: _View) -> list[str]:
    """Tell wipers, wheel and pedals."""
    heater = view.word("steeringWheel.heater_level") if view.on("steeringWheel.is_heater_on") else "-"
    wheel = view.show(
        f"wheel heat {heater}",
        *(f"steeringWheel.{leaf}" for leaf in ("is_heater_on", "heater_level", "heater_celsius", "heater_percentage")),
    )
    pedals = [
        view.show(f"pedals {who} {'out' if view.on(path) else '-'}", path)
        for who, path in (
            ("L", "footPedal.pedals.driver's seat.state"),
            ("R", "footPedal.pedals.passenger seat.state"),
        )
    ]
    return [f" {_wiper(view, 'front')}  {_wiper(view, 'rear')}", f" {'  '.join([wheel, *pedals])}"]


def _mirror(view: _View, side: str) -> list[str]:
    """Tell one outside mirror: whether it is folded, height and sideways position."""
    path = f"rearviewMirror.{side}_mirror."
    places = [view.show(f"{view.number(f'{path}{leaf}'):.0f}", f"{path}{leaf}") for leaf in ("height", "horizontal_position")]
    return [view.show(f"mirror {'out' if view.on(f'{path}is_open') else 'in'}", f"{path}is_open"), "/".join(places)]


def _door(view: _View, seat: str) -> list[str]:
    """Tell door and window of a seat, and its reading light."""
    door, window, light = f"door.doors.{seat}.", f"window.window_states.{seat}.", f"readingLight.{seat}."
    bright = view.percent(f"{light}brightness_value") if view.on(f"{light}is_on") else "-"
    locks = ("L" if view.on(f"{door}is_locked") else "") + ("c" if view.on(f"{door}child_safety_lock_enabled") else "")
    return [
        view.degree(f"{door}angle", "door ", f"{door}angle_unit", f"{door}status"),
        view.show(f"lock {locks or '-'}", f"{door}is_locked", f"{door}child_safety_lock_enabled"),
        view.show(
            f"win {view.percent(f'{window}open_degree')}{' c' if view.on(f'{window}child_safety_lock') else ''}",
            f"{window}open_degree",
            f"{window}is_open",
            f"{window}child_safety_lock",
        ),
        view.show(f"light {bright}", f"{light}is_on", f"{light}brightness_value", f"{light}brightness_unit"),
    ]


def _seat(view: _View, seat: str, title: str) -> list[str]:
    """Tell a seat: who speaks, comfort, position, air."""
    path, place = f"seat.{seat}.", f"seat.{seat}.position."

    def level(group: str, leaf: str, label: str) -> str:
        stem = leaf.removesuffix("level")
        shown = view.word(f"{path}{group}.{leaf}") if view.on(f"{path}{group}.is_on") else "-"
        return view.show(
            f"{label} {shown}", *(f"{path}{group}.{name}" for name in ("is_on", leaf, f"{stem}value", f"{stem}unit"))
        )

    def position(leaf: str) -> str:
        return view.show(f"{view.number(f'{place}{leaf}'):.0f}", f"{place}{leaf}")

    speaks = " <o" if view.word("environment.speaker") == seat else ""
    posture = " folded" if view.on(f"{place}is_folded") else " greets" if view.on(f"{place}guest_welcome_mode") else ""
    massage = level("massager", "intensity_level", "massage")
    mode = view.show(view.word(f"{path}massager.active_mode"), f"{path}massager.active_mode")
    return [
        view.show(f"{title}{posture}", f"{place}is_folded", f"{place}guest_welcome_mode") + speaks,
        f"{level('heater', 'temperature_level', 'heat')} {level('ventilation', 'airflow_level', 'vent')}",
        f"{massage} {mode}",
        f"pos{position('horizontal_position')}/{position('vertical_position')} back{position('backrest_angle')}",
        f"cush{position('cushion_length')}/{position('cushion_angle')} head{position('headrest_height')}",
        f"legs{position('leg_rest_height')}/{position('feet_rest_height')}",
        *_air(view, seat),
    ]


def _air(view: _View, seat: str) -> list[str]:
    """Tell the air at a seat: temperature and wind, then outlets, sweep and direction."""
    path = f"airConditioner.ac_states.{seat}."
    is_on = view.on(f"{path}is_on")
    outlets = [
        view.show(mode.replace(" and ", "+"), f"{path}outlet_modes.{mode}")
        for mode in _OUTLETS
        if view.on(f"{path}outlet_modes.{mode}") or view.is_changed(f"{path}outlet_modes.{mode}")
    ]
    sweep, direction = f"{path}sweeping_mode", f"{path}outlet_direction"
    arrow = {"up": "^", "down": "v", "left": "<", "right": ">"}.get(view.word(direction), ".")
    lock = f"{path}child_safety_lock"
    return [
        " ".join(
            [
                view.show("air on" if is_on else "air -", f"{path}is_on"),
                view.show(f"{view.word(f'{path}temperature')}C", f"{path}temperature"),
                view.show(f"w{view.word(f'{path}wind_speed')}", f"{path}wind_speed"),
                *([view.show(arrow, direction)] if view.word(direction) or view.is_changed(direction) else []),
                *([view.show("c", lock)] if view.on(lock) or view.is_changed(lock) else []),
            ]
        ),
        " ".join(
            [
                *([" ".join(outlets)] if outlets else []),
                *([view.show(view.word(sweep) or "no sweep", sweep)] if view.word(sweep) or view.is_changed(sweep) else []),
            ]
        ),
    ]


def _roof(view: _View) -> list[str]:
    """Tell what lies over the rows: sunroof and shades."""
    roof = "sunroof."
    degree = view.degree(
        f"{roof}open_degree_percentage",
        "",
        f"{roof}open_degree_gear",
        f"{roof}open_degree_centimeter",
    )
    sunroof = f"sunroof {view.show(view.word(f'{roof}state'), f'{roof}state')} {degree}"
    shades = [
        f"shade {place}"
        + view.show(
            "paused" if view.on(f"{path}is_paused") else "open" if view.on(f"{path}is_open") else "shut",
            f"{path}is_open",
            f"{path}is_paused",
        )
        + " "
        + view.degree(f"{path}open_degree_value", "", f"{path}open_degree_unit")
        for place, path in (("1 ", "sunshade.front_row_status."), ("2 ", "sunshade.rear_row_status."))
    ]
    inner = 2 * _SEAT + 3
    return [_dashed(sunroof, inner), _dashed("  ".join(shades), inner), "-" * inner]


def _dashed(text: str, width: int) -> str:
    """Return a text in the middle of a dashed line."""
    pad = max(0, width - _width(text) - 2)
    return f"{'-' * (pad // 2)} {_cut(text, width - 2)} {'-' * (pad - pad // 2)}"


def _trunk(view: _View) -> str:
    """Tell the lid behind and the fuel port."""
    path = "trunk."
    fuel = "open" if view.on("fuelPort.is_open") else "shut"
    lock = " lock" if view.on("fuelPort.is_locked") else ""
    return "  ".join(
        [
            view.show(f"trunk {view.word(f'{path}state')}", f"{path}state", f"{path}is_in_motion"),
            view.degree(
                f"{path}current_open_degree_percentage",
                "",
                f"{path}current_open_degree_gear",
                f"{path}current_open_degree_cm",
            ),
            view.show("locked" if view.on(f"{path}is_locked") else "unlocked", f"{path}is_locked"),
            view.show(f"fuel {fuel}{lock}", "fuelPort.is_open", "fuelPort.is_locked", "fuelPort.state", "fuelPort.lock_state"),
        ]
    )


# -- panels -------------------------------------------------------------------------------------------------------


def _panels(view: _View) -> list[str]:
    """Return the panels beside the car."""
    sections = {
        "MEDIA": _media(view),
        "PHONE": _phone(view),
        "NAVIGATION": _navigation(view),
        "CLIMATE": _climate(view),
        "SCREENS": _screens(view),
        "CAR": _settings(view),
    }
    lines: list[str] = []
    for title, rows in sections.items():
        lines.append(f"{title} {'-' * (_PANEL - len(title) - 1)}")
        lines += [f" {row}" for row in rows]
    return lines


def _media(view: _View) -> list[str]:
    """Tell music, radio and video."""
    volume = "environment.volume"
    bar = "#" * round(10 * view.share(volume))
    track, station, video = view.track, view.item("radio._current_station"), view.item("video.current_video")
    flags = [
        view.show("lyrics", path) if name == "lyrics" else view.show("list", path)
        for name, path in (("lyrics", "music._show_lyrics"), ("list", "music._show_playlist"))
        if view.on(path) or view.is_changed(path)
    ]
    video_flags = [
        view.show(label, path)
        for label, path in (
            ("full", "video.is_fullscreen"),
            ("comments", "video.danmaku_enabled"),
            ("skip", "video.skip_intro"),
        )
        if view.on(path) or view.is_changed(path)
    ]
    return [
        f"{view.show(f'volume {view.word(volume)}', volume)} [{bar:<10}]",
        view.show(f"channel {view.word('environment.sound_channel')}", "environment.sound_channel"),
        _playing(view, "music._is_playing", "music")
        + view.show(_cut(_title(track), 18), "music._current_track_index", "music._current_playlist"),
        "  " + " ".join([view.word_of("music._playback_mode"), *flags]),
        _counts(view, "music._", (("favorite_tracks", "fav"), ("history_tracks", "past"), ("local_tracks", "local"))),
        _playing(view, "radio._is_playing", "radio") + view.show(_cut(_title(station), 18), "radio._current_station"),
        _counts(view, "radio._", (("collection", "fav"), ("history", "past"))),
        _playing(view, "video.is_playing", "video") + view.show(_cut(_title(video), 18), "video.current_video"),
        "  " + " ".join([view.word_of("video.quality"), *video_flags]),
        _counts(view, "video.", (("favorites", "fav"), ("history", "past"), ("downloaded_videos", "kept"))),
    ]


def _playing(view: _View, path: str, name: str) -> str:
    """Tell whether a player plays."""
    return view.show(f"{name} {'>' if view.on(path) else '.'}", path) + " "


def _counts(view: _View, module: str, lists: tuple[tuple[str, str], ...]) -> str:
    """Tell how long a player's lists are."""
    return "  " + " ".join(view.show(f"{len(view.items(module + name))} {label}", module + name) for name, label in lists)


def _phone(view: _View) -> list[str]:
    """Tell the telephone."""
    path = "conversation."
    unread = sum(1 for message in view.items(f"{path}messages") if not message.get("read"))
    lists = f"{len(view.items(f'{path}contacts'))} contacts {unread} unread"
    return [
        view.show(f"call {view.word(f'{path}call_state')}", f"{path}call_state")
        + (" " + view.show("hands-free" if view.on(f"{path}hands_free") else "handset", f"{path}hands_free")),
        view.word_of(f"{path}current_contact", "with "),
        view.show(lists, f"{path}contacts", f"{path}messages"),
    ]


def _navigation(view: _View) -> list[str]:
    """Tell the route and the map."""
    path = "navigation."
    route = view.item(f"{path}current_route")
    goal = str(route.get("destination") or "nowhere") if route else "-"
    stops = view.items(f"{path}waypoints")
    extras = [
        view.show(label, f"{path}{leaf}")
        for label, leaf in (("traffic", "traffic_status_enabled"), ("cameras", "speed_camera_enabled"))
        if view.on(f"{path}{leaf}") or view.is_changed(f"{path}{leaf}")
    ]
    voice = "on" if view.on(f"{path}voice_notifications_enabled") else "off"
    return [
        view.show("active" if view.on(f"{path}is_active") else "idle", f"{path}is_active")
        + " to "
        + view.show(_cut(goal, 16), f"{path}current_route"),
        view.show(f"{len(stops)} stops", f"{path}waypoints") + " " + " ".join(extras),
        view.word_of(f"{path}map_view") + " " + view.word_of(f"{path}map_zoom_level", "zoom "),
        view.show(f"voice {voice}", f"{path}voice_notifications_enabled") + " " + view.word_of(f"{path}broadcast_mode"),
    ]


def _climate(view: _View) -> list[str]:
    """Tell the modes of the whole air conditioner."""
    path = "airConditioner."
    modes = [
        view.show(label if view.on(f"{path}{leaf}") else f"no {label}", f"{path}{leaf}")
        for leaf, label in _AIR_MODES
        if view.on(f"{path}{leaf}") or view.is_changed(f"{path}{leaf}")
    ]
    view.seen.update(f"{path}{leaf}" for leaf, _ in _AIR_MODES)
    air = view.word(f"{path}circulation_mode").removesuffix(" circulation")
    clean = view.word(f"{path}purification_mode").removesuffix(" purification")
    return [
        *(_wrapped(modes, _PANEL - 1, " ")[:3] if modes else ["no mode"]),
        view.show(f"circulation {air}", f"{path}circulation_mode"),
        view.show(f"purification {clean}", f"{path}purification_mode"),
    ]


def _screens(view: _View) -> list[str]:
    """Tell the four screens."""
    cid, panel, top, hud = "centerInformationDisplay.brightness_settings.", "instrumentPanel.", "overheadScreen.", "HUD."
    return [
        view.degree(f"{cid}brightness_level", "center ") + _auto(view, f"{cid}auto_brightness"),
        view.degree(f"{panel}brightness", "panel ", f"{panel}brightness_unit")
        + _auto(view, f"{panel}auto_brightness")
        + " "
        + view.word_of(f"{panel}theme")
        + " "
        + view.show(view.word(f"{panel}distance_unit")[:1].lower() or "-", f"{panel}distance_unit"),
        view.show(f"overhead {view.word(f'{top}state')}", f"{top}state")
        + " "
        + view.degree(f"{top}brightness_percentage", "", f"{top}brightness_gear", f"{top}brightness_nit"),
        view.flag(f"{hud}is_on", "HUD")
        + " "
        + view.degree(f"{hud}brightness.percentage", "", f"{hud}brightness.level", f"{hud}brightness.nits")
        + " "
        + view.degree(f"{hud}height.percentage", "h", f"{hud}height.level", f"{hud}height.centimeter"),
    ]


def _auto(view: _View, path: str) -> str:
    """Tell whether a screen chooses its brightness itself."""
    return " " + view.show("auto" if view.on(path) else "set", path)


def _settings(view: _View) -> list[str]:
    """Tell automatic functions and open pages."""
    automatic = [
        view.show(label if view.on(path) else f"no {label}", path)
        for label, path in (
            ("mirror flip", "rearviewMirror.auto_flip_enabled"),
            ("mirror fold", "rearviewMirror.auto_fold_enabled"),
            ("mirror adjust", "rearviewMirror.auto_adjust_enabled"),
            ("mirror heat", "rearviewMirror.heating_enabled"),
            ("mirror assist", "rearviewMirror.auxiliary_view_enabled"),
            ("windows close", "window.auto_close_on_lock"),
            ("shades close", "sunshade.leave_and_lock_auto_close_enabled"),
            ("light auto", "readingLight.auto_mode"),
        )
        if view.on(path) or view.is_changed(path)
    ]
    pages = [
        view.show(name if view.on(path) else f"no {name}", path)
        for name, path in (
            ("seat", "seat.view_page_open"),
            ("air", "airConditioner.ac_view_open"),
            ("mirror", "rearviewMirror.view_page_open"),
            ("wheel", "steeringWheel.is_view_open"),
        )
        if view.on(path) or view.is_changed(path)
    ]
    rows = _wrapped(automatic, _PANEL - 1) if automatic else ["nothing automatic"]
    return [*rows[:3], *(["pages " + " ".join(pages)] if pages else [])]


# -- text ---------------------------------------------------------------------------------------------------------


def _unseen(view: _View, room: int) -> list[str]:
    """Tell what has changed and is shown nowhere above; entries of a list or record as one."""
    unseen: dict[str, int] = {}
    for path in view.changed:
        if not any(path == shown or path.startswith((f"{shown}.", f"{shown}[")) for shown in view.seen):
            name = path.partition("[")[0].removesuffix(".#len")
            unseen[name] = unseen.get(name, 0) + 1
    if not unseen or room < 1:
        return []
    lines = [
        _cut(f"* {name} = {view.value(name)!r}" if view.has(name) else f"* {name}: {count} leaves", WIDTH)
        for name, count in unseen.items()
    ]
    return lines if len(lines) <= room else [*lines[: room - 1], f"* and {len(lines) - room + 1} more"]


def _title(record: object) -> str:
    """Return the title of a track, station or video."""
    if not isinstance(record, Mapping):
        return "-"
    return str(record.get("title") or record.get("name") or "-")


def _width(text: str) -> int:
    """Return how many columns a text takes: Chinese letters take two."""
    return sum(2 if unicodedata.east_asian_width(letter) in "WF" else 1 for letter in text)


def _cut(text: str, width: int) -> str:
    """Cut a text to a number of columns; letters without a shape of their own become `?`."""
    text = "".join(letter if letter.isprintable() else "?" for letter in text)
    if _width(text) <= width:
        return text
    while text and _width(text) > width - 1:
        text = text[:-1]
    return f"{text}~"


def _fit(text: str, width: int) -> str:
    """Cut or pad a text to a number of columns."""
    text = _cut(text, width)
    return text + " " * (width - _width(text))


def _wrapped(words: list[str], width: int, comma: str = ", ") -> list[str]:
    """Return phrases in as many lines as they need."""
    lines = [""]
    for word in words:
        joined = f"{lines[-1]}{comma}{word}" if lines[-1] else word
        if _width(joined) <= width:
            lines[-1] = joined
        else:
            lines.append(word)
    return lines


def _zip(left: list[str], right: list[str]) -> list[tuple[str, str]]:
    """Return pairs of lines, the shorter side filled up."""
    count = max(len(left), len(right))
    return list(zip(left + [""] * (count - len(left)), right + [""] * (count - len(right)), strict=True))
