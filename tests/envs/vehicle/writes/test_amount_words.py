import pytest

from palaestra.envs.vehicle.car.tables import MODULES, car_tables
from palaestra.envs.vehicle.world import VehicleWorld
from palaestra.envs.vehicle.writes.amount_words import amounts_text

TABLES = car_tables()
SEAT = "driver's seat"


def line(subject: str) -> str:
    text = amounts_text(TABLES, [subject.partition(".")[0]])
    return next(line for line in text.splitlines() if line.startswith(f"{subject}: "))


def test_every_axis_and_nothing_else_has_a_line() -> None:
    axes = sum(len(TABLES.modules[name].settings.get("axes", {})) for name in MODULES)
    text = amounts_text(TABLES, list(TABLES.modules))
    assert len(text.splitlines()) == axes + 4  # the head, the volume, the zoom of the map
    assert amounts_text(TABLES, ["tailLight", "bluetooth"]) == ""
    assert "{" not in text


@pytest.mark.parametrize(
    ("subject", "function", "arguments", "path", "words"),
    [
        ("environment.volume", "music.music_soundVolume_increase", {"degree": "large"}, "environment.volume", "large 20"),
        ("environment.volume", "radio.radio_soundVolume_increase", {}, "environment.volume", "a step 10"),
        (
            "navigation.map_zoom_level",
            "navigation.navigation_mapZoom",
            {"mode": "Zoom in", "degree": "little"},
            "navigation.map_zoom_level",
            "little 2",
        ),
        (
            "seat.<seat>.position.horizontal_position",
            "seat.carcontrol_carSeat_horizontal_backward",
            {"position": [SEAT], "value": 1, "unit": "gear"},
            f"seat.{SEAT}.position.horizontal_position",
            "1 gear is 20",
        ),
        (
            "rearviewMirror.left_mirror|right_mirror.height",
            "rearviewMirror.height_increase",
            {"position": "left side", "degree": "tiny"},
            "rearviewMirror.left_mirror.height",
            "tiny 5",
        ),
        (
            "highBeamHeadlight.delay_off_duration_seconds",
            "highBeamHeadlight.increase_delay_close_duration",
            {"value": 1, "unit": "minute"},
            "highBeamHeadlight.delay_off_duration_seconds",
            "1 minute is 60",
        ),
    ],
)
def test_functions_move_by_what_the_words_say(subject: str, function: str, arguments: dict, path: str, words: str) -> None:
    assert words in line(subject)
    world = VehicleWorld()
    before = world.state.values[path]
    result = world.call(*function.split("."), **arguments)
    assert result.ok
    assert world.state.values[path] - before == float(words.split()[-1])


@pytest.mark.parametrize(
    ("subject", "function", "arguments", "path", "words", "value"),
    [
        (
            "window.window_states.<seat>.open_degree",
            "window.carcontrol_window_height_set",
            {"position": [SEAT], "degree": "max"},
            f"window.window_states.{SEAT}.open_degree",
            "of the height, which is 100 minus it",
            0,
        ),
        (
            "seat.<seat>.position.vertical_position",
            "seat.carcontrol_carSeat_height_set",
            {"position": [SEAT], "value": 2, "unit": "gear"},
            f"seat.{SEAT}.position.vertical_position",
            "set to gear 1 to 5 it is 0 to 100",
            25,
        ),
        (
            "centerInformationDisplay.brightness_settings.brightness_level",
            "centerInformationDisplay.carcontrol_centerInformationDisplay_brightness_set",
            {"degree": "low"},
            "centerInformationDisplay.brightness_settings.auto_brightness",
            "with it brightness_settings.auto_brightness becomes false",
            False,
        ),
        (
            "door.doors.<seat>.angle",
            "door.carcontrol_carDoor_angle_set",
            {"position": [SEAT], "degree": "high"},
            f"door.doors.{SEAT}.angle",
            "high 80",
            80,
        ),
    ],
)
def test_functions_set_what_the_words_say(subject, function, arguments, path, words, value) -> None:
    assert words in line(subject)
    world = VehicleWorld()
    assert world.call(*function.split("."), **arguments).ok
    assert world.state.values[path] == value
