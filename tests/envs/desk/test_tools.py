import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from palaestra.envs.desk.tools import EASY_TOOLS, DeskTools
from palaestra.envs.desk.world import DeskWorld
from palaestra.envs.tools import Toolkit
from palaestra.types import ToolCall


@pytest.fixture
def world():
    world = DeskWorld()
    world.add_event("Choir lesson", "2031-03-05", "10:00", "11:00", "Room 2", ["m@x.org"])
    world.add_event("Choir visit", "2031-03-04", "14:00", "14:45")
    world.add_note("Mill sale", "rope")
    world.add_contact("Mara Lind", "m@x.org", "200-555-0101")
    world.add_contact("Ivo Ito", "ivo@x.org")
    return world


def call(world, name, /, **arguments):
    return Toolkit(DeskTools(world), world=world).call(ToolCall(name, arguments))


def done(world, name, /, **arguments):
    result = call(world, name, **arguments)
    assert result.status == "ok", result.content
    return json.loads(result.content) if result.content[0] in "[{" else result.content


def test_there_are_fourteen_tools_with_described_arguments_and_a_strict_form(world):
    toolkit = Toolkit(DeskTools(world), world=world)
    assert len(toolkit) == 14
    assert set(EASY_TOOLS) < set(toolkit.names)
    for schema in toolkit.schemas(strict=True) + toolkit.schemas():
        function = schema["function"]
        assert function["description"]
        assert all(argument["description"] for argument in function["parameters"]["properties"].values())


def test_events_are_listed_found_created_moved_and_cancelled(world):
    assert [e["title"] for e in done(world, "find_events", query="CHOIR")] == ["Choir visit", "Choir lesson"]
    made = done(world, "create_event", title="Map tour", date="2031-03-05", start="11:00", end="11:30", guests=["q@x.org"])
    assert made == {
        "id": "E3",
        "title": "Map tour",
        "date": "2031-03-05",
        "start": "11:00",
        "end": "11:30",
        "place": "",
        "guests": ["q@x.org"],
    }
    assert done(world, "move_event", event_id="E1", date="2031-03-05", start="12:15")["end"] == "13:15"
    assert [e["id"] for e in done(world, "list_events", date="2031-03-05")] == ["E3", "E1"]
    assert done(world, "invite_guest", event_id="E1", email="a@x.org")["guests"] == ["a@x.org", "m@x.org"]
    assert done(world, "cancel_event", event_id="E1") == "Cancelled E1, 'Choir lesson'."
    assert sorted(world.events) == ["E2", "E3"]


def test_an_event_may_move_over_its_own_old_time(world):
    assert done(world, "move_event", event_id="E1", date="2031-03-05", start="10:30")["end"] == "11:30"


def test_notes_are_found_added_edited_and_deleted(world):
    assert done(world, "search_notes", query="ROPE")[0]["id"] == "N1"
    assert done(world, "add_note", title="Tower", text="bell")["id"] == "N2"
    assert done(world, "edit_note", note_id="N1", text="seeds", mode="append")["text"] == "rope\nseeds"
    assert done(world, "edit_note", note_id="N1", text="ink")["text"] == "ink"
    done(world, "delete_note", note_id="N1")
    assert list(world.notes) == ["N2"]


def test_contacts_are_found_added_changed_and_removed(world):
    assert [c["id"] for c in done(world, "find_contacts", query="")] == ["C1", "C2"]
    assert done(world, "add_contact", name="Oona Sato", email="o@x.org")["id"] == "C3"
    assert done(world, "update_contact", contact_id="C1", phone="1")["email"] == "m@x.org"
    assert done(world, "update_contact", contact_id="C1", email="n@x.org")["phone"] == "1"
    done(world, "remove_contact", contact_id="C2")
    assert list(world.contacts) == ["C1", "C3"]


@pytest.mark.parametrize(
    ("name", "arguments", "says"),
    [
        ("list_events", {"date": "2031-02-30"}, "there is no day 2031-02-30"),
        ("create_event", {"title": "A", "date": "2031-03-05", "start": "11:00", "end": "11:00"}, "not after the start 11:00"),
        (
            "create_event",
            {"title": "A", "date": "2031-03-05", "start": "10:30", "end": "11:30"},
            "overlaps E1, 'Choir lesson' (10:00-11:00)",
        ),
        ("move_event", {"event_id": "E2", "date": "2031-03-05", "start": "09:30"}, "overlaps E1"),
        ("move_event", {"event_id": "E2", "date": "2031-03-05", "start": "23:30"}, "end after midnight"),
        ("move_event", {"event_id": "E9", "date": "2031-03-05", "start": "09:30"}, "no event 'E9'; did you mean"),
        ("cancel_event", {"event_id": "Choir lesson"}, "find_events shows ids"),
        ("invite_guest", {"event_id": "E1", "email": "m@x.org"}, "m@x.org is a guest of E1 already"),
        ("add_note", {"title": "mill SALE", "text": "x"}, "there is a note 'Mill sale' already, N1"),
        ("delete_note", {"note_id": "N7"}, "no note 'N7'"),
        ("add_contact", {"name": "MARA LIND", "email": "z@x.org"}, "already, C1; use update_contact"),
        ("update_contact", {"contact_id": "C1"}, "nothing to change was given"),
        ("remove_contact", {"contact_id": ""}, "no contact ''"),
    ],
)
def test_refusals_say_why_and_change_nothing(world, name, arguments, says):
    before = world.copy()
    result = call(world, name, **arguments)
    assert result.status == "error"
    assert says in result.content
    assert world == before


def test_malformed_dates_times_and_addresses_are_shown_the_right_form(world):
    result = call(world, "create_event", title="A", date="tomorrow", start="9:30", end="25:00", guests=["Mara"])
    assert result.status == "invalid_arguments"
    assert 'argument \'date\' is "tomorrow"; expected a string in the form "2031-03-04" (Day as YYYY-MM-DD)' in result.content
    assert "argument 'start' is \"9:30\"" in result.content
    assert "argument 'guests[0]' is \"Mara\"" in result.content


values = st.one_of(
    st.sampled_from(["E1", "N1", "C1", "2031-03-05", "10:00", "11:00", "a@x.org", "replace", "", None, 1, ["a@x.org"]]),
    st.text(max_size=5),
)
arguments = st.dictionaries(
    st.sampled_from(
        [
            "event_id",
            "note_id",
            "contact_id",
            "title",
            "text",
            "date",
            "start",
            "end",
            "email",
            "phone",
            "query",
            "mode",
            "zzz",
        ]
    ),
    values,
)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(list(Toolkit(DeskTools(DeskWorld())).names)), arguments), max_size=4), st.booleans())
def test_any_calls_are_answered_and_failed_ones_change_nothing(calls, lenient):
    world = DeskWorld()
    world.add_event("Choir lesson", "2031-03-05", "10:00", "11:00")
    world.add_note("Mill sale", "rope")
    world.add_contact("Mara Lind", "m@x.org")
    toolkit = Toolkit(DeskTools(world), world=world, lenient=lenient)
    for name, given_arguments in calls:
        before = world.copy()
        if toolkit.call(ToolCall(name, given_arguments)).status != "ok":
            assert world == before
    assert DeskWorld.from_json(json.loads(json.dumps(world.to_json()))) == world
