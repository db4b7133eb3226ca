import json

from palaestra.envs.desk.world import DeskWorld, day_of, to_clock, to_minutes


def furnished():
    world = DeskWorld()
    world.add_event("Choir lesson", "2031-03-05", "10:00", "11:00", "Room 2", ["b@x.org", "a@x.org"])
    world.add_event("Map tour", "2031-03-05", "09:00", "09:30")
    world.add_note("Mill sale", "rope")
    world.add_contact("Mara Lind", "m@x.org", "200-555-0101")
    return world


def test_worlds_copy_compare_and_travel_as_json():
    world = furnished()
    twin, back = world.copy(), DeskWorld.from_json(json.loads(json.dumps(world.to_json())))
    assert world == twin == back
    twin.add_note("Other", "text")
    assert world != twin
    assert len(world.notes) == 1
    assert world.num_made == {"E": 2, "N": 1, "C": 1}


def test_content_ignores_ids_and_order():
    one, other = DeskWorld(), DeskWorld()
    one.add_note("A", "1")
    one.add_note("B", "2")
    other.add_note("B", "2")
    other.add_note("gone", "")
    del other.notes["N2"]
    other.add_note("A", "1")
    assert one.content() == other.content()
    assert one != other


def test_guests_are_a_set():
    world = DeskWorld()
    assert world.add_event("A", "2031-03-05", "10:00", "11:00", "", ["b", "a", "b"]).guests == ("a", "b")


def test_events_that_touch_do_not_clash_and_those_that_share_a_minute_do():
    world = furnished()
    touching = world.add_event("T", "2031-03-05", "11:00", "12:00")
    assert world.clash(touching) is None
    inside = world.add_event("I", "2031-03-05", "09:15", "09:20")
    assert world.clash(inside).title == "Map tour"
    other_day = world.add_event("O", "2031-03-06", "10:00", "11:00")
    assert world.clash(other_day) is None


def test_the_first_free_stretch_lies_in_the_earliest_gap_that_is_long_enough():
    world = furnished()  # busy 09:00-09:30 and 10:00-11:00
    assert world.first_free("2031-03-05", 30) == "09:30"
    assert world.first_free("2031-03-05", 60) == "11:00"
    assert world.first_free("2031-03-06", 60) == "09:00"
    assert world.first_free("2031-03-05", 60, closes="11:30") is None


def test_times_convert_both_ways():
    assert [to_clock(to_minutes(text)) for text in ("00:00", "09:05", "23:59")] == ["00:00", "09:05", "23:59"]
    assert day_of("2031-02-29") is None
    assert day_of("2032-02-29").weekday() == 6
