from __future__ import annotations

import unicodedata

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from palaestra.envs.vehicle.car.tables import ENVIRONMENT, PRESETS, SEATS, car_tables
from palaestra.envs.vehicle.render.cockpit import cockpit_text
from palaestra.envs.vehicle.render.lettering import GLYPHS, text_width, write
from palaestra.envs.vehicle.render.picture import car_picture
from palaestra.envs.vehicle.render.raster import Canvas, box, coverage, disc, polygon
from palaestra.envs.vehicle.render.readings import Readings, clock, unit_path
from palaestra.envs.vehicle.render.scene import AMBER
from palaestra.envs.vehicle.world import VehicleWorld
from palaestra.errors import UsageError

WIDTH = 480
# Leaves that a person cannot see, or sees through the leaf that they follow.
TWINS = (
    "unit", "nits", "_nit", "_gear", "_centimeter", "_cm", ".level", ".centimeter", "heater_celsius", "heater_percentage",
    "height_percentage", "status", "last_position", "last_operation_timestamp", "is_in_motion", "connection_state",
    "fuelPort.state", "lock_state", "window_states.{seat}.is_open", "temperature_value", "intensity_value", "airflow_value",
    "last_called_contact", "overheadScreen.time_display_format", "vehicle_mileage",
)  # fmt: skip


def preset(name):
    world = VehicleWorld()
    for module in world.tables.modules:
        if module != ENVIRONMENT:
            world.apply_preset(module, name)
    return world


def busy():
    """A car with everything open and on, so that every level can be seen."""
    world = preset("init2")
    for row in (row for module in world.tables.modules.values() for row in module.properties if not row.constant):
        for path in row.paths():
            if row.type == "bool":
                world.state.set(path, "outlet_modes" not in path and not path.endswith(("auto_brightness", "is_folded")))
    for path, word in (
        ("overheadScreen.state", "open"), ("sunroof.state", "open"), ("trunk.state", "open"), ("lowBeamHeadlight.mode", "on"),
        ("environment.speaker", "second row left"),
    ):  # fmt: skip
        world.state.set(path, word)
    for seat in SEATS:
        world.state.set(f"airConditioner.ac_states.{seat}.outlet_direction", None)
    return world


def other_value(row, value):
    """A value that differs from the present one as far as the row allows."""
    if row.type == "bool":
        return not value
    if row.type == "enum":
        return next(word for word in reversed(row.enum) if word != value)
    if row.type == "str":
        return "up" if "direction" in row.path else "Someone else"
    low, high = (row.low, row.high) if row.high is not None else next(iter(row.ranges.values()), (0, 7))
    return high if value < (low + high) / 2 else low


def leaves():
    return [
        (path, row)
        for path, row in car_tables().properties.items()
        if not row.constant
        and row.type not in ("list", "record", "map", "texts")
        and not any(path.endswith(end) or row.path.endswith(end) or f"{row.module}.{row.path}".endswith(end) for end in TWINS)
        and not any(seat in path for seat in SEATS[1:])
    ]


# -- picture ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("width", "height"), [(480, 360), (960, 720), (1001, 751)])
def test_a_picture_is_an_image_of_the_width_asked_for(width, height):
    image = car_picture(VehicleWorld().state, width)
    assert image.shape == (height, width, 3)
    assert image.dtype == np.uint8
    assert len(np.unique(image.reshape(-1, 3), axis=0)) > 500


@pytest.mark.parametrize("width", [0, 479, 10_000])
def test_other_widths_are_refused(width):
    with pytest.raises(UsageError, match=f"is {width}; expected 480 to 3840"):
        car_picture(VehicleWorld().state, width)


@pytest.mark.parametrize("name", PRESETS)
def test_equal_states_give_equal_pictures(name):
    first, second = preset(name), preset(name)
    assert np.array_equal(car_picture(first.state, WIDTH), car_picture(second.state, WIDTH))
    assert np.array_equal(car_picture(first.state, WIDTH), car_picture(first.copy().state, WIDTH))


def test_drawing_leaves_the_state_alone():
    world = preset("init1")
    before = world.copy()
    car_picture(world.state, WIDTH, {"HUD.is_on"})
    cockpit_text(world.state, {"HUD.is_on"})
    assert world == before
    assert world.state.log == preset("init1").state.log


def test_every_property_that_can_be_seen_changes_the_picture():
    hidden = []
    bases = [(world, car_picture(world.state, WIDTH)) for world in (VehicleWorld(), busy())]
    for path, row in leaves():
        for world, image in bases:
            value = world.state.values[path]
            world.state.values[path] = other_value(row, value)
            differs = not np.array_equal(car_picture(world.state, WIDTH), image)
            world.state.values[path] = value
            if differs:
                break
        else:
            hidden.append(path)
    assert hidden == []


@pytest.mark.parametrize("seat", SEATS)
def test_what_changes_at_a_seat_is_drawn_at_that_seat(seat):
    row, column = divmod(SEATS.index(seat), 2)
    before, after = VehicleWorld(), VehicleWorld()
    after.state.set(f"seat.{seat}.heater.is_on", True)
    after.state.set(f"seat.{seat}.heater.temperature_level", 5)
    rows, columns = np.nonzero((car_picture(before.state) != car_picture(after.state)).any(axis=2))
    assert abs(rows.mean() - (331, 439, 546)[row]) < 25
    assert abs(columns.mean() - (536 if column else 424)) < 25
    red = car_picture(after.state)[rows, columns].astype(int) - car_picture(before.state)[rows, columns]
    assert red[:, 0].sum() > abs(red[:, 2].sum())


@pytest.mark.parametrize(
    ("path", "value", "above"),
    [
        ("highBeamHeadlight.high_beam_on", True, 100),
        ("lowBeamHeadlight.mode", "on", 100),
        ("fogLight.front_light.is_on", True, 100),
    ],
)
def test_front_lights_throw_light_before_the_car(path, value, above):
    world = VehicleWorld()
    dark = car_picture(world.state)[:above, 300:660].sum(dtype=np.int64)
    world.state.set(path, value)
    assert car_picture(world.state)[:above, 300:660].sum(dtype=np.int64) > 1.05 * dark


def test_a_door_swings_further_out_the_further_it_is_open():
    reach = []
    for angle in (0, 30, 60, 100):
        world = VehicleWorld()
        world.state.set("door.doors.driver's seat.angle", angle)
        image = car_picture(world.state).astype(int)
        bright = image[262:380, 250:366].min(axis=2) > 120  # beside the body, where there is only floor and the label
        bright[64:84, :64] = False
        reach.append(int(np.nonzero(bright.any(axis=0))[0].min()) if bright.any() else 116)
    assert reach == sorted(reach, reverse=True)
    assert reach[0] - reach[-1] > 50


def test_changed_parts_are_outlined_and_no_others():
    world = VehicleWorld()
    colour = np.array(AMBER)
    plain = car_picture(world.state)
    marked = car_picture(world.state, changed={"trunk.state", "environment.volume"})
    outline = (np.abs(marked.astype(int) - colour).sum(axis=2) < 12) & (plain != marked).any(axis=2)
    rows, columns = np.nonzero(outline)
    assert ((rows > 600) & (abs(columns - 480) < 100)).sum() > 100  # the lid of the trunk
    assert ((rows < 300) & (columns < 230)).sum() > 100  # the volume
    assert not ((rows > 200) & (rows < 600) & (abs(columns - 480) < 100)).any()
    assert np.array_equal(plain, car_picture(world.state, changed=set()))


def test_what_changed_out_of_sight_is_counted():
    world = VehicleWorld()
    plain, marked = car_picture(world.state), car_picture(world.state, changed={"HUD.brightness.current_unit"})
    told = car_picture(world.state, changed={"fogLight.last_position"})
    assert (told[700:] != plain[700:]).any()
    assert not (marked[700:] != plain[700:]).any()  # shown with its bar


# -- cockpit ------------------------------------------------------------------------------------------------------


def columns_of(line):
    return sum(2 if unicodedata.east_asian_width(letter) in "WF" else 1 for letter in line)


@pytest.mark.parametrize("world", [VehicleWorld(), preset("init1"), preset("init2"), busy()])
@pytest.mark.parametrize("mark", [False, True])
def test_the_cockpit_fits_forty_lines_of_a_hundred_columns(world, mark):
    changed = set(world.state.flat()) if mark else set()
    text = cockpit_text(world.state, changed)
    lines = text.split("\n")
    assert len(lines) <= 40
    assert max(map(columns_of, lines)) <= 100
    assert text == cockpit_text(world.copy().state, changed)
    assert all(letter == "\n" or letter.isprintable() for letter in text)


def test_the_cockpit_tells_what_a_person_would_ask():
    text = cockpit_text(preset("init1").state)
    for words in ("speaker: driver's seat", "volume 50", "channel video", "music > Stairway to Heaven", "to Shanghai", "cool"):
        assert words in text


def test_changed_properties_are_marked_where_they_stand():
    world = VehicleWorld()
    world.state.set("environment.volume", 80)
    world.state.set("seat.passenger seat.position.backrest_angle", 70)
    text = cockpit_text(world.state, {"environment.volume", "seat.passenger seat.position.backrest_angle"})
    assert "volume 80*" in text
    assert text.count("back70*") == 1
    assert text.count("*") == 2
    assert "*" not in cockpit_text(world.state)


def test_changes_that_are_shown_nowhere_are_told_below():
    world = VehicleWorld()
    paths = {"HUD.brightness.current_unit", "music._tracks[0].title", "music._tracks[1].title"}
    last = cockpit_text(world.state, paths).split("\n")[-2:]
    assert last == ["* HUD.brightness.current_unit = 'percentage'", "* music._tracks: 2 leaves"]
    many = {path for path in world.state.values if "increment" in path or "preset" in path}
    assert len(many) > 20
    assert "more" in cockpit_text(world.state, many).split("\n")[-1]


@settings(max_examples=25)
@given(st.data())
def test_any_state_can_be_drawn_even_an_odd_one(data):
    world = VehicleWorld("published")
    odd = st.one_of(st.none(), st.booleans(), st.integers(-(10**9), 10**9), st.floats(), st.text(max_size=20))
    for path in data.draw(st.lists(st.sampled_from(sorted(world.state.values)), min_size=5, max_size=40)):
        world.state.values[path] = data.draw(odd)
    lines = cockpit_text(world.state, set(world.state.values)).split("\n")
    assert len(lines) <= 40
    assert max(map(columns_of, lines)) <= 100
    assert car_picture(world.state, WIDTH).shape == (360, 480, 3)


# -- readings -----------------------------------------------------------------------------------------------------


def test_shares_are_read_in_the_unit_that_is_kept():
    world = VehicleWorld()
    path = "door.doors.driver's seat.angle"
    for unit, value in (("gear", 4), ("percentage", 80), ("centimeter", 64)):
        world.state.set(path, value)
        world.state.set(unit_path(path), unit)
        assert Readings(world.state).share(path) == pytest.approx(0.8)
    world.state.set(path, "many")
    assert Readings(world.state).share(path) == 0


@pytest.mark.parametrize(
    ("path", "unit"), [("x.value", "x.unit"), ("x.open_degree_value", "x.open_degree_unit"), ("b", "b_unit")]
)
def test_the_unit_of_a_quantity_stands_beside_it(path, unit):
    assert unit_path(path) == unit


@pytest.mark.parametrize(
    ("time", "shown"), [("00:05", "12:05 am"), ("09:30", "9:30 am"), ("12:00", "12:00 pm"), ("23:59", "11:59 pm")]
)
def test_clocks_of_twelve_hours(time, shown):
    assert clock(f"2025-04-13 {time}:00", twelve_hours=True) == ("2025-04-13", shown)
    assert clock(f"2025-04-13 {time}:00", twelve_hours=False) == ("2025-04-13", time)


# -- raster -------------------------------------------------------------------------------------------------------


@settings(max_examples=40)
@given(st.floats(0.1, 60), st.floats(0.1, 40), st.floats(0, 20), st.floats(0, 20))
def test_coverage_sums_to_the_area_of_a_rectangle(width, height, x, y):
    shape = box(x + width / 2, y + height / 2, width, height)
    mask = coverage(shape, np.roll(shape, -1, axis=0))
    area = 0.0 if mask is None else float(mask.alpha.sum())
    assert area == pytest.approx(width * height, abs=0.2 * width + 0.01)  # scan lines are a fifth of a row apart


def test_the_area_of_a_disc_is_right_and_parts_off_the_image_are_cut():
    shape = disc(0.0, 0.0, 30.0, sides=96)
    whole = coverage(shape, np.roll(shape, -1, axis=0))
    quarter = coverage(shape, np.roll(shape, -1, axis=0), (200, 100))
    assert whole.alpha.sum() == pytest.approx(np.pi * 900, rel=0.01)
    assert quarter.alpha.sum() == pytest.approx(np.pi * 225, rel=0.02)
    assert (quarter.top, quarter.left) == (0, 0)
    assert coverage(shape + 500.0, np.roll(shape, -1, axis=0) + 500.0, (200, 100)) is None


def test_a_line_of_text_is_as_wide_as_told_and_cut_to_its_room():
    canvas = Canvas((400, 40), 1.0, (0, 0, 0))
    width = write(canvas, 10, 20, "Volume 70%", (255, 255, 255), size=16)
    columns = np.nonzero(canvas.pixels.any(axis=(0, 2)))[0]
    assert columns.min() == pytest.approx(10, abs=2)
    assert columns.max() == pytest.approx(10 + width, abs=2)
    cut = write(Canvas((400, 40), 1.0, (0, 0, 0)), 10, 20, "Volume 70%", (255, 255, 255), size=16, room=60)
    assert cut <= 60


def test_every_letter_has_a_shape_of_its_own_and_unknown_ones_become_boxes():
    def drawn(text):
        canvas = Canvas((40, 40), 1.0, (0, 0, 0))
        write(canvas, 10, 20, text, (255, 255, 255), size=16)
        return canvas.pixels.tobytes()

    shapes = {letter: drawn(letter) for letter in GLYPHS}
    assert len(set(shapes.values())) == len(shapes)
    assert drawn("é") == shapes["e"]
    assert drawn("漢") == drawn("語") != drawn(" ")
    assert text_width("11") == text_width("80")


def test_a_polygon_is_filled_evenly():
    canvas = Canvas((20, 20), 1.0, (0, 0, 0))
    canvas.fill(polygon((5, 5), (15, 5), (15, 15), (5, 15)), (200, 100, 50))
    assert (canvas.pixels[5:15, 5:15] == (200, 100, 50)).all()
    assert canvas.pixels.sum() == 100 * 350
