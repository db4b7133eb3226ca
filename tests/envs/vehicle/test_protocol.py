import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from palaestra.envs.vehicle.car.tables import MODULES
from palaestra.envs.vehicle.protocol import (
    MAX_PROBLEMS,
    MAX_SELECTED,
    Progress,
    Rules,
    choose_modules,
    is_writing,
    read_selection,
)
from palaestra.errors import ConfigError, UnknownNameError


@pytest.mark.parametrize(
    "text",
    [
        "<modules>\ndoor\nwindow\n</modules>",
        "I need two.\n<modules>door, window</modules>\nThat is all.",
        "<Modules>\n- door\n* `window`\n</Modules>",
        "<modules>\n1. door\n2) 'window';\n</modules>",
        "<modules>\nDOOR\nWindow\ndoor\nenvironment\n</modules>",
        "First <modules>\nseat\n</modules>, no:\n<modules>\ndoor\nwindow",
    ],
)
def test_a_choice_is_read_however_it_is_written(text: str) -> None:
    assert read_selection(text, MODULES) == (("door", "window"), ())


def test_a_message_without_the_block_chooses_nothing() -> None:
    assert read_selection("door, window", MODULES) is None
    assert read_selection("<modules>\n</modules>", MODULES) == ((), ())
    assert read_selection("<modules>environment</modules>", MODULES) == ((), ())


def test_unknown_names_are_told_with_the_nearest_and_a_surplus_is_left_out() -> None:
    selection = read_selection("<modules>\ndoors\nwarp drive\nseat\n</modules>", MODULES)
    assert selection is not None
    assert selection.modules == ("seat",)
    assert selection.problems == ("There is no module 'doors'. Did you mean 'door'?", "There is no module 'warp drive'.")
    many = choose_modules(MODULES, MODULES)
    assert many.modules == MODULES[:MAX_SELECTED]
    assert len(many.problems) == len(MODULES) - MAX_SELECTED
    assert choose_modules(["seat"], ["door"]).modules == ()


@given(st.text())
def test_any_text_can_be_read(text: str) -> None:
    selection = read_selection(f"<modules>{text}</modules>", MODULES)
    assert selection is not None
    assert set(selection.modules) <= set(MODULES)
    is_writing(text)


@pytest.mark.parametrize(
    ("code", "writes"),
    [
        ("vw['environment']['volume'] = 60", True),
        ("# louder\nvw.environment.volume = 60", True),
        ("vw.music._favorite_tracks[0].is_favorite = True", True),
        ("del vw['music']['_favorite_tracks'][0]", True),
        ('{"environment.volume": 60}', True),
        ('[{"op": "set", "path": "environment.volume", "value": 60}]', True),
        ("vw.music.music_soundVolume_set(value=60)", False),
        ("vw.music.to_dict()", False),
        ("get_modules()", False),
        ("x = vw.door.to_dict()", False),
        ("if vw.door.to_dict()['x'] == 1:\n    pass", False),
    ],
)
def test_writes_are_told_from_calls(code: str, writes: bool) -> None:
    assert is_writing(code) is writes


def test_the_stages_of_a_request() -> None:
    assert Rules(mode="fc").first_stage() == "act"
    assert Rules(mode="sfc").first_stage() == "select"
    assert Rules(mode="hybrid").first_stage() == "select"
    planned = Rules(mode="fc", plan=True)
    assert (planned.first_stage(), planned.after_plan()) == ("plan", "act")


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"mode": "fcc"}, "Did you mean 'fc'"),
        ({"profile": "fast"}, "Unknown profile"),
        ({"state_form": "flat"}, "plain, wrapped"),
        ({"selection_state": "half"}, "compact, full"),
        ({"calls": "code"}, "text, tools"),
        ({"calls": "tools", "tool_scope": "some"}, "all, modules, selected"),
        ({"reward": "sum"}, "accuracy, final, requests"),
    ],
)
def test_an_unknown_word_is_refused(options: dict, error: str) -> None:
    with pytest.raises(UnknownNameError, match=error):
        Rules(**options)


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"reflections": -1}, "reflections is -1; expected an integer of at least 0"),
        ({"reflections": True}, "reflections is True"),
        ({"extra_modules": 1.5}, "extra_modules is 1.5"),
        ({"plan": "yes"}, "plan is 'yes'; expected True or False"),
        ({"mode": "sfc", "calls": "tools"}, "is for the modes 'fc' and 'hybrid'"),
    ],
)
def test_an_impossible_value_is_refused(options: dict, error: str) -> None:
    with pytest.raises(ConfigError, match=error):
        Rules(**options)


def test_progress_comes_back_from_json_and_starts_anew_with_each_request() -> None:
    progress = Progress(2, "act", 1, "a plan", ("door",), ("door", "seat"), ("door",), "fine", [{"code": "get_modules()"}])
    back = Progress.from_json(json.loads(json.dumps(progress.to_json())))
    assert back == progress
    assert back.show(["seat", "music"]) == ["music"]
    back.next_request("select")
    assert back == Progress(3, "select", shown=("door", "seat", "music"), opened=("door",))
    assert progress.shown == ("door", "seat")


def test_a_message_of_wrong_names_is_not_read_to_its_end() -> None:
    chosen = choose_modules(["door", *["dor"] * 24_000, "window"], ["door", "window"])
    assert chosen.modules == ("door",)
    assert len(chosen.problems) == MAX_PROBLEMS + 1
    assert chosen.problems[-1] == "The names after that were not read."
