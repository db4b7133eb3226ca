from __future__ import annotations

import subprocess
import sys
import unicodedata

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from palaestra.envs.vehicle.car.tables import ENVIRONMENT, PRESETS, SEATS, car_tables
from palaestra.envs.vehicle.render.canvas import Canvas
from palaestra.envs.vehicle.render.cockpit import cockpit_text
from palaestra.envs.vehicle.render.lettering import text_width, write
from palaestra.envs.vehicle.render.picture import car_picture
from palaestra.envs.vehicle.render.readings import Readings, clock, unit_path
from palaestra.envs.vehicle.render.scene import AMBER
from palaestra.envs.vehicle.render.shapes import box, disc, polygon, rotated
from palaestra.envs.vehicle.world import VehicleWorld
from palaestra.errors import UsageError

WIDTH = 480
WHITE = (255, 255, 255)
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


# -- canvas -------------------------------------------------------------------------------------------------------


def drawn(draw, size=(100, 60), scale=1.0):
    """How white each pixel is, 0 to 1, after something was drawn in white on black."""
    canvas = Canvas(size, scale, (0, 0, 0))
    draw(canvas)
    return canvas.image()[:, :, 0] / 255


@settings(max_examples=40)
@given(st.floats(1, 60), st.floats(1, 40), st.floats(0, 20), st.floats(0, 20))
def test_what_a_polygon_covers_sums_to_its_area(width, height, x, y):
    covered = drawn(lambda canvas: canvas.fill(box(x + width / 2, y + height / 2, width, height), WHITE))
    assert covered.sum() == pytest.approx(width * height, abs=0.13 * (width + height) + 0.02)  # edges lie on eighths


def test_the_area_of_a_disc_is_right_and_parts_off_the_picture_are_cut():
    whole = drawn(lambda canvas: canvas.fill(disc(50.0, 50.0, 30.0, sides=96), WHITE), (100, 100))
    quarter = drawn(lambda canvas: canvas.fill(disc(0.0, 0.0, 30.0, sides=96), WHITE))
    assert whole.sum() == pytest.approx(np.pi * 900, rel=0.01)
    assert quarter.sum() == pytest.approx(np.pi * 225, rel=0.02)
    assert not drawn(lambda canvas: canvas.fill(disc(500.0, 500.0, 30.0), WHITE)).any()


def test_a_polygon_is_filled_evenly_and_to_the_pixel():
    canvas = Canvas((20, 20), 1.0, (0, 0, 0))
    canvas.fill(polygon((5, 5), (15, 5), (15, 15), (5, 15)), (200, 100, 50))
    assert (canvas.image()[5:15, 5:15] == (200, 100, 50)).all()
    assert canvas.image().sum() == 100 * 350


def test_opacity_mixes_colours():
    canvas = Canvas((20, 20), 1.0, (100, 100, 100))
    canvas.fill(polygon((5, 5), (15, 5), (15, 15), (5, 15)), (200, 100, 0), 0.25)
    assert canvas.image()[10, 10] == pytest.approx((125, 100, 75), abs=1)


@pytest.mark.parametrize(
    ("along", "dark", "light"),
    [("y", (5, 30), (54, 30)), ("up", (54, 30), (5, 30)), ("x", (30, 5), (30, 54)), ("mirror", (30, 5), (30, 30))],
)
def test_gradients_and_fading_go_their_way(along, dark, light):
    shape = box(30.0, 30.0, 60.0, 60.0)
    graded = drawn(lambda canvas: canvas.fill(shape, (0, 0, 0), to=WHITE, along=along), (60, 60))
    faded = drawn(lambda canvas: canvas.fill(shape, WHITE, along=along, fades=True), (60, 60))
    assert graded[dark] < 0.25 < 0.75 < graded[light]
    assert faded[dark] > 0.5 > 0.1 > faded[light]


@settings(max_examples=30)
@given(st.floats(0, 360), st.floats(2, 8), st.floats(0.5, 3))
def test_a_line_is_as_long_and_wide_as_told_whichever_way_it_goes(degrees, width, scale):
    ends = rotated(polygon((20, 30), (80, 30)), degrees, 50.0, 30.0)
    covered = drawn(lambda canvas: canvas.line(ends + 20.0, width, WHITE), (round(150 * scale), round(120 * scale)), scale)
    area = (60 * width + np.pi * width**2 / 4) * scale**2  # with round ends
    assert covered.sum() == pytest.approx(area, rel=0.12)


def test_a_closed_line_returns_to_its_begin():
    square = polygon((10, 10), (50, 10), (50, 50), (10, 50))
    opened, closed = (drawn(lambda canvas, how=how: canvas.line(square, 2.0, WHITE, closed=how)) for how in (False, True))
    assert closed[30, 10] > 0.8
    assert opened[30, 10] == 0
    assert (closed >= opened).all()


def test_light_falls_off_and_leaves_bright_places_bright():
    dark = drawn(lambda canvas: canvas.glow(50.0, 30.0, 25.0, WHITE, 0.8), (100, 60))
    assert dark[30, 50] > 0.7 > 0.2 > dark[30, 65] > dark[30, 72] > 0
    assert not dark[:, :24].any()
    canvas = Canvas((100, 60), 1.0, (200, 200, 200))
    canvas.glow(50.0, 30.0, 25.0, WHITE, 0.8)
    assert canvas.image().min() == 200
    assert 230 < canvas.image().max() < 250


# -- lettering ----------------------------------------------------------------------------------------------------


def test_a_line_of_text_is_as_wide_as_told_and_cut_to_its_room():
    canvas = Canvas((400, 40), 1.0, (0, 0, 0))
    width = write(canvas, 10, 20, "Volume 70%", WHITE, size=16)
    columns = np.nonzero(canvas.image().any(axis=(0, 2)))[0]
    assert columns.min() == pytest.approx(10, abs=2)
    assert columns.max() == pytest.approx(10 + width, abs=2)
    cut = write(Canvas((400, 40), 1.0, (0, 0, 0)), 10, 20, "Volume 70%", WHITE, size=16, room=60)
    assert cut <= 60


@pytest.mark.parametrize(("align", "begin", "end"), [("left", 100, 100), ("middle", 50, 150), ("right", 0, 100)])
def test_text_stands_where_it_is_put(align, begin, end):
    canvas = Canvas((200, 40), 1.0, (0, 0, 0))
    width = write(canvas, 100, 20, "HHH", WHITE, size=12, align=align)
    rows, columns = np.nonzero(canvas.image()[:, :, 0] > 127)
    assert (rows.min(), rows.max()) == (14, 25)  # capitals 12 high around the middle
    middle = {"left": 100 + width / 2, "middle": 100, "right": 100 - width / 2}[align]
    assert (columns.min() + columns.max() + 1) / 2 == pytest.approx(middle, abs=1)
    assert begin <= columns.min()
    assert columns.max() <= max(end, 100 + width)


def test_every_letter_has_a_shape_of_its_own_and_unknown_ones_become_boxes():
    def shape(text, **style):
        return drawn(lambda canvas: write(canvas, 10, 30, text, WHITE, size=16, **style)).tobytes()

    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789.,:;!?'()[]/-+=%&#*<>°÷·→←↑↓éüñ"
    assert len({shape(letter) for letter in letters}) == len(letters)
    assert shape("漢") == shape("語") != shape(" ")
    assert shape("A") != shape("A", bold=True)
    assert shape("a\nb\x00") == shape("a b ")
    assert text_width("11", 16) == text_width("80", 16)


# -- extras -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("missing", ["PIL", "matplotlib"])
def test_a_picture_without_its_extra_is_one_clear_error_and_the_cockpit_needs_none(missing):
    program = f"""
import sys
sys.modules["{missing}"] = None
import gymnasium, palaestra
from palaestra.errors import MissingExtraError
frames = []
for mode in ("ansi", "rgb_array"):
    env = gymnasium.make("palaestra/VehicleWorld-v0", render_mode=mode, disable_env_checker=True)
    env.reset(seed=0)
    try:
        frames.append(env.render())
    except MissingExtraError as error:
        frames.append(str(error))
assert "speaker" in frames[0]
print(frames[1])
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    told = "Pictures of the car (rgb_array) needs the extra 'plots'. Install it with: pip install 'palaestra[plots]'"
    assert done.stdout.strip() == told


def test_only_a_picture_loads_the_drawing_library():
    program = """
import sys, gymnasium, palaestra
env = gymnasium.make("palaestra/VehicleWorld-v0", render_mode="rgb_array")
env.reset(seed=0)
before = "PIL" in sys.modules
env.render()
print(before, "PIL" in sys.modules, "matplotlib" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "True", "False"]
