from __future__ import annotations

import contextlib
import copy
import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from palaestra.envs.core.tasks import Task
from palaestra.envs.vehicle.calls.call import Call
from palaestra.envs.vehicle.published.scenario_text import ScenarioError, parse_gold, parse_scenario
from palaestra.envs.vehicle.published.tasks import FLAGS, KINDS, load_published
from palaestra.envs.vehicle.requests.task import CarTask
from palaestra.errors import MissingDataError, PalaestraError, UsageError
from tests.envs.vehicle.published_data import files, rows

ROW: dict[str, Any] = {
    "id": "one",
    "modules": ["door", "music"],
    "interaction": "M-M",
    "init": [
        {"op": "env_preset", "preset": "init6"},
        {"op": "module_preset", "module": "door", "preset": "init1"},
        {"op": "preset_side_effects_only", "module": "window", "preset": "init1"},
    ],
    "init_ineffective": ["Window.init1()"],
    "dialogue": [
        {
            "query": "Open up.",
            "calls": [
                {"module": "door", "api": "carcontrol_carDoor_switch", "args": ["open"], "kwargs": {"position": ["all"]}}
            ],
            "calls_ok": [True],
            "changed": [{"op": "set", "path": "door.doors.passenger seat.status", "old": "closed", "new": "open"}],
            "metric_n_should_change": 1,
            "metric_n_unchanged": 40,
        },
        {"query": "What a day!", "calls": [], "changed": []},
    ],
}

SCENARIO = """<scenario>
<inits>
Environment.init6() # a warm day
Environment.set_volume(35)
vw.door=Door.init1()
vw.airConditioner = AirConditioner.init2(auto_on=True, default_temp=22.0)
Window.init1()
</inits>
<query>Show me what you play.</query>
<api_call>vw.music.music_playList_switch(True)\\nvw.music.music_playList_switch(switch=False)</api_call>
<query>Nice weather.</query>
<api_call>pass</api_call>
</scenario>
"""


def write(path: Path, *rows: Any) -> Path:
    text = "".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows)
    if path.suffix == ".gz":
        path.write_bytes(gzip.compress(text.encode()))
    else:
        path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize("name", ["tasks.jsonl", "tasks.jsonl.gz"])
def test_a_row_becomes_a_task_from_a_file_and_from_its_folder(tmp_path: Path, name: str) -> None:
    file = write(tmp_path / name, ROW, "", {**ROW, "id": "two"})
    tasks = load_published(file)
    assert [task.key for task in tasks] == ["one", "two"]
    assert load_published(str(tmp_path)) == tasks
    first = tasks[0]
    assert (first.split, first.type) == ("test", "M-M")
    task = CarTask.from_json(first.data)
    assert task.modules == ("door", "music")
    assert task.requests[0].calls == (Call("door", "carcontrol_carDoor_switch", ("open",), {"position": ["all"]}),)
    assert [request.kinds for request in task.requests] == [("act",), ("no_action",)]
    assert first.data["published"]["changed"][0] == ROW["dialogue"][0]["changed"]
    assert first.data["published"]["flags"] == ["unassigned_preset"]
    assert json.loads(json.dumps(first.data)) == first.data


def test_the_same_task_twice_is_one_task(tmp_path: Path) -> None:
    assert len(load_published(write(tmp_path / "tasks.jsonl", ROW, ROW))) == 1


@pytest.mark.parametrize(
    ("changes", "kinds"),
    [
        ({"calls": []}, ("no_action",)),
        ({"changed": []}, ("already",)),
        ({"changed": [], "calls_ok": [False]}, ("refuse",)),
        ({"calls_ok": [False]}, ("refuse", "act")),
        ({"metric_n_should_change": 0}, ("invisible",)),
        ({"changed": [], "calls": [{"module": "music", "api": "music_local_view", "args": [], "kwargs": {}}]}, ("query",)),
        ({"changed": [], "calls": [{"module": "music", "api": "to_dict", "args": [], "kwargs": {}}]}, ("query",)),
    ],
)
def test_what_is_special_about_a_request_is_told(tmp_path: Path, changes: dict[str, Any], kinds: tuple[str, ...]) -> None:
    request = {**ROW["dialogue"][0], **changes}
    request["calls_ok"] = request["calls_ok"][: len(request["calls"])]
    (task,) = load_published(write(tmp_path / "tasks.jsonl", {**ROW, "dialogue": [request]}))
    assert CarTask.from_json(task.data).requests[0].kinds == kinds
    assert set(kinds) <= set(KINDS)


@pytest.mark.parametrize(
    ("changes", "flags"),
    [
        ({"id": "be0be92f8d97d5eab55763e6348a5024", "init": []}, {"shifted_gold"}),
        ({"modules": ["trunk", "frontTrunk", "door"]}, {"trunk_by_name"}),
        ({"modules": ["music"]}, {"acts_outside"}),
    ],
)
def test_known_faults_are_flagged(tmp_path: Path, changes: dict[str, Any], flags: set[str]) -> None:
    (task,) = load_published(write(tmp_path / "tasks.jsonl", {**ROW, "init_ineffective": [], **changes}))
    assert set(task.data["published"]["flags"]) == flags
    assert flags <= set(FLAGS)


def _put(path: str, value: Any) -> dict[str, Any]:
    """Return the row with one value replaced; `...` removes it."""
    row = copy.deepcopy(ROW)
    *head, last = [int(part) if part.isdigit() else part for part in path.split(".")]
    place: Any = row
    for part in head:
        place = place[part]
    if value is ...:
        del place[last]
    else:
        place[last] = value
    return row


@pytest.mark.parametrize(
    ("row", "match"),
    [
        ("{", "line 2, the line: is not JSON"),
        ("[1]", r"line 2, the line: is \[1\]; expected an object"),
        (_put("id", ...), "line 2, id: is missing"),
        (_put("id", 5), "line 2, id: is 5; expected a text"),
        (_put("modules", "door"), 'modules: is "door"; expected a list'),
        (_put("modules.1", "dor"), r"modules\[1\]: Unknown module 'dor'. Did you mean 'door'"),
        (_put("modules.1", 7), r"modules\[1\]: is 7; expected a text"),
        (_put("init.0", 1), r"init\[0\]: is 1; expected an object"),
        (_put("init.0.op", "env"), r"init\[0\]: Unknown set-up step 'env'"),
        (_put("init.0.preset", ...), r"init\[0\]: 'preset' is missing"),
        (_put("init.0.preset", "init99"), r"init\[0\]: Unknown environment preset 'init99'"),
        (_put("init.1.module", "doors"), r"init\[1\]: Unknown module 'doors'"),
        (_put("init.1.kwargs", {"x": 1}), r"init\[1\]: Unknown argument of preset"),
        (_put("init.0", {"op": "env_set", "property": "volum", "value": 1}), r"init\[0\]: Unknown shared property 'volum'"),
        (_put("init.0", {"op": "env_set", "property": "volume", "value": [1]}), r"init\[0\].value: is \[1\]"),
        (_put("dialogue", []), "dialogue: is empty"),
        (_put("dialogue.1.query", None), r"dialogue\[1\].query: is null; expected a text"),
        (_put("dialogue.0.calls.0.module", "dor"), r"dialogue\[0\].calls\[0\].module: Unknown module 'dor'"),
        (_put("dialogue.0.calls.0.api", "open"), r"dialogue\[0\].calls\[0\].api: Unknown function of door 'open'"),
        (_put("dialogue.0.calls.0.kwargs", []), r"calls\[0\].kwargs: is \[\]; expected an object"),
        (_put("dialogue.0.calls_ok", []), r"dialogue\[0\].calls_ok: has 0 entries for 1 calls"),
        (_put("dialogue.0.changed", ...), r"dialogue\[0\].changed: is missing"),
        (_put("dialogue.0.changed.0.op", "put"), r"changed\[0\].op: is \"put\"; expected set, add or del"),
        (_put("dialogue.0.changed.0.path", ...), r"changed\[0\].path: is missing"),
        (_put("dialogue.0.metric_n_should_change", "1"), 'metric_n_should_change: is "1"; expected a whole number'),
        (_put("dialogue.0.calls.0", {"assign": "vw.door", "expr": "Window.init1()"}), r"calls\[0\]: .* is no gold line"),
    ],
)
def test_a_malformed_row_is_one_error_with_file_line_and_field(tmp_path: Path, row: Any, match: str) -> None:
    file = write(tmp_path / "tasks.jsonl", {**ROW, "id": "good"}, row)
    with pytest.raises(UsageError, match=match) as caught:
        load_published(file)
    assert str(file) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_what_is_no_file_of_tasks_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MissingDataError, match="There is no"):
        load_published(tmp_path / "none")
    with pytest.raises(MissingDataError, match="holds no tasks"):
        load_published(tmp_path)
    (tmp_path / "tasks.jsonl.gz").write_bytes(gzip.compress(b"{}")[:-4])
    with pytest.raises(UsageError, match="cannot be read"):
        load_published(tmp_path)
    (tmp_path / "tasks.jsonl").write_bytes(b"\xff\xfe")
    with pytest.raises(UsageError, match="cannot be read"):
        load_published(tmp_path / "tasks.jsonl")


def test_scenario_texts_are_read_and_their_changes_found(tmp_path: Path) -> None:
    file = tmp_path / "scenarios"
    file.write_text(SCENARIO * 2 + SCENARIO.replace("Nice", "Bad"), encoding="utf-8")
    first, second = load_published(file)
    assert load_published(tmp_path) == [first, second]
    assert first.type == "M-M"
    task = CarTask.from_json(first.data)
    assert task.modules == ("door", "window", "airConditioner")
    assert task.setup == (
        {"op": "env_preset", "preset": "init6"},
        {"op": "env_set", "property": "volume", "value": 35},
        {"op": "module_preset", "module": "door", "preset": "init1"},
        {
            "op": "module_preset",
            "module": "airConditioner",
            "preset": "init2",
            "kwargs": {"auto_on": True, "default_temp": 22.0},
        },
        {"op": "preset_side_effects_only", "module": "window", "preset": "init1"},
    )
    assert [request.kinds for request in task.requests] == [("already",), ("no_action",)]  # shown, then hidden again
    assert first.data["published"]["flags"] == ["unassigned_preset", "acts_outside"]
    assert first.data["published"]["metric_n_should_change"] == [0, 0]
    assert first.key != second.key


@pytest.mark.parametrize(
    ("old", "new", "match"),
    [
        ("vw.door=Door.init1()", "import os", "line 5, inits: 'import os' is no init line"),
        ("vw.door=Door.init1()", "vw.door=Window.init1()", "line 5, inits: .* is no init line"),
        ("vw.door=Door.init1()", "vw.door=Door.init1(", "inits: is no code"),
        ("vw.door=Door.init1()", "vw.door=Door.init9()", r"init\[2\]: Unknown preset of door 'init9'"),
        ("Environment.set_volume(35)", "Environment.set_volume(f(1))", "line 4, inits: .* has an argument that is no literal"),
        ("Environment.set_volume(35)", "Environment.set_volume()", r"init\[1\]: Unknown environment preset 'set_volume'"),
        ("<inits>", "<init>", "there are 0 <inits>"),
        ("query>", "ask>", "there is no <query>"),
        ("<api_call>pass", "<api>pass", "there are 2 <query> and 1 <api_call>"),
        ("pass", "__import__('os')", r"line 12, api_call\[1\]: .* is no gold line"),
        ("pass", "vw.music.f(**{'a': 1})", r"api_call\[1\]: .* unpacks arguments"),
        ("pass", "vw.music.nothing()", r"api_call\[1\].api: Unknown function of music"),
    ],
)
def test_a_malformed_scenario_is_one_error_with_file_line_and_field(tmp_path: Path, old: str, new: str, match: str) -> None:
    assert old in SCENARIO
    file = tmp_path / "scenarios.txt"
    file.write_text(SCENARIO.replace(old, new), encoding="utf-8")
    with pytest.raises(UsageError, match=match) as caught:
        load_published(file)
    assert str(file) in str(caught.value)


def test_more_gold_than_requests_is_flagged(tmp_path: Path) -> None:
    file = tmp_path / "scenarios"
    file.write_text(SCENARIO.replace("<query>Nice weather.</query>\n", ""), encoding="utf-8")
    (task,) = load_published(file)
    assert len(task.data["requests"]) == 1
    assert "shifted_gold" in task.data["published"]["flags"]


def test_gold_may_set_what_is_shared_and_put_a_module_into_a_preset() -> None:
    calls = parse_gold('Environment.set_language("English")\\nvw.readingLight=ReadingLight.init2()\npass')
    assert calls == [Call("environment", "set_language", ("English",)), Call("readingLight", "init2")]


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=80))
def test_any_gold_text_is_calls_or_an_error(text: str) -> None:
    with contextlib.suppress(ScenarioError):
        assert all(isinstance(call, Call) for call in parse_gold(text))


@settings(max_examples=200, deadline=None)
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.sampled_from(["door", "init1", "env_set"]),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(sorted(ROW)), inner, max_size=4),
        max_leaves=8,
    ),
    st.sampled_from(
        ["id", "modules", "init", "init.0", "init.1", "dialogue", "dialogue.0", "dialogue.0.calls.0", "interaction"]
    ),
)
def test_any_row_is_a_task_or_an_error_of_ours(tmp_path_factory: pytest.TempPathFactory, value: Any, path: str) -> None:
    file = write(tmp_path_factory.getbasetemp() / "any.jsonl", _put(path, value))
    problem = ""
    try:
        assert all(isinstance(task, Task) for task in load_published(file))
    except PalaestraError as error:
        problem = str(error)
    assert not problem or "any.jsonl, line 1, " in problem


@pytest.mark.parity
def test_the_shared_tasks_load_and_their_texts_say_the_same() -> None:
    found = rows("tasks.jsonl.gz")
    if not found:
        pytest.skip("no tasks.jsonl.gz in the folders named by PALAESTRA_FIXTURES")
    tasks = {task.key: task for file in files("tasks.jsonl.gz") for task in load_published(file)}
    assert tasks.keys() == {row["id"] for row in found}
    for row in found:
        task = CarTask.from_json(tasks[row["id"]].data)
        said = "".join(f"<query>{said['query']}</query><api_call>{said['gold_raw']}</api_call>" for said in row["dialogue"])
        scenario = parse_scenario(f"<scenario><inits>{row['inits_raw']}</inits>{said}</scenario>")
        assert scenario.modules == task.modules
        assert scenario.init == task.setup
        assert list(scenario.init_ineffective) == row["init_ineffective"]
        assert scenario.gold == tuple(request.calls for request in task.requests)
        assert tasks[row["id"]].type == row["interaction"]
