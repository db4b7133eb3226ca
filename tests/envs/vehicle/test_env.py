import json
import pickle

import gymnasium as gym
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import palaestra  # noqa: F401  (registers the environments)
from palaestra.envs.core.tasks import FixedTasks, Task
from palaestra.envs.vehicle.car.tables import MODULES
from palaestra.envs.vehicle.env import VehicleWorldEnv
from palaestra.envs.vehicle.world import VehicleWorld
from palaestra.errors import ConfigError, UnknownNameError, UsageError
from palaestra.types import Message, ToolCall
from tests.envs.vehicle.dialogues import DIALOGUES, DRIVER, LOUDER, UNLOCK, dialogues
from tests.envs.vehicle.published_data import files

LOUD = "vw.music.music_soundVolume_increase(degree='little')"
OPEN = "\n".join(call.code() for call in UNLOCK.calls)
WORDS = "I leave it."


def car(task: str = "mixed", **options) -> tuple[VehicleWorldEnv, str]:
    env = VehicleWorldEnv(tasks=dialogues(), **options)
    return env, env.reset(seed=0, options={"task": task})[0]


def code(*lines: str) -> str:
    return "\n".join(["```python", *lines, "```"])


def choose(*modules: str) -> str:
    return "\n".join(["<modules>", *modules, "</modules>"])


def tool(name: str, **arguments) -> Message:
    return Message("assistant", tool_calls=(ToolCall(name, arguments, "c1"),))


# -- profiles -----------------------------------------------------------------------------------------------------------


def test_a_stored_run_of_the_profile_paper_goes_on_as_published() -> None:
    former, env = (VehicleWorldEnv(profile=name, difficulty="easy") for name in ("paper", "published"))
    assert former.rules == env.rules
    for index in range(20):
        assert former.tasks.at("train", index) == env.tasks.at("train", index)
    env.reset(seed=0)
    former.restore(env.snapshot())
    assert former.world == env.world
    assert former.snapshot() == env.snapshot()
    assert former.state_hash() == env.state_hash()


def test_an_unknown_profile_is_told_the_profiles_of_today() -> None:
    with pytest.raises(UnknownNameError, match="Known: fixed, published"):
        VehicleWorldEnv(profile="papers")


# -- function calls -----------------------------------------------------------------------------------------------------


def test_function_calls_are_answered_until_a_message_without_code() -> None:
    env, observation = car()
    assert observation == "Request 1 of 3: The music a bit louder."
    observation, reward, terminated, _, info = env.step(f"I will turn it up.\n{code(LOUD, 'vw.music.to_dict()')}")
    assert '"environment.volume":60' in observation
    assert '"_is_playing"' in observation
    assert "3 messages with code left for this request." in observation
    assert (reward, terminated, "request_result" in info) == (0.0, False, False)
    observation, reward, terminated, _, info = env.step(WORDS)
    assert observation == "Request 2 of 3: Open the locked boot for me."
    assert reward == pytest.approx(1 / 3)
    assert not terminated
    env.step(WORDS)
    env.step(code(OPEN))
    observation, reward, terminated, truncated, info = env.step(WORDS)
    assert (observation, terminated, truncated, info["success"]) == ("That was the last request.", True, False, True)
    assert info["score"] == pytest.approx(1.0)


def test_a_request_ends_after_the_last_reflection_or_when_results_repeat() -> None:
    env, _ = car(reflections=1)
    env.step(code(LOUD))
    observation, *_, info = env.step(code("vw.music.music_soundVolume_decrease(degree='little')"))
    assert info["request_result"]["rounds"] == 2
    assert observation.endswith("Request 2 of 3: Open the locked boot for me.")
    env, _ = car()
    env.step(code("get_modules()"))
    *_, info = env.step(code("get_modules()"))
    assert info["request_result"]["rounds"] == 2
    assert info["request_result"]["missing"] == ["environment.volume"]


def test_wrong_code_is_an_observation_and_changes_nothing() -> None:
    env, _ = car()
    before = env.state_hash()
    for wrong in ("import os", "vw.music.music_soundVolume_set(value=900)", "vw.boat.sail()", "vw.music."):
        observation, *_, info = env.step(code(wrong))
        if "request_result" not in info:
            assert info["action_error"]
            assert info["action_error"] in observation
            assert env.state_hash() == before
    assert info["request_result"]["failed_calls"] == 2
    assert info["request_result"]["changed"] == []


def test_json_is_no_code_for_function_calls() -> None:
    env, _ = car()
    *_, info = env.step('```json\n{"environment.volume": 60}\n```')
    assert info["request_result"]["calls"] == info["request_result"]["writes"] == 0


# -- writing state ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "block",
    [
        "```python\nvw['environment']['volume'] = 60\n```",
        'Louder.\n```json\n{"environment.volume": 60}\n```',
        '```\n[{"op": "set", "path": "environment.volume", "value": 60}]\n```',
    ],
)
def test_state_is_written_after_a_choice_of_modules(block: str) -> None:
    env, observation = car(mode="sfc")
    shown = json.loads(observation.split("<state>\n")[1].split("\n</state>")[0])
    assert list(shown) == ["environment", *MODULES]
    observation, *_ = env.step(choose("music"))
    shown = json.loads(observation.split("<state>\n")[1].split("\n</state>")[0])
    assert list(shown) == ["environment", "music"]
    assert "## music" in observation.split("<schema>")[1]
    observation, reward, _, _, info = env.step(block)
    assert reward == pytest.approx(1 / 3)
    assert info["request_result"]["writes"] == 1
    assert "Request 2 of 3" in observation


def test_the_published_form_of_the_state_is_written_too() -> None:
    env, observation = car(mode="sfc", state_form="wrapped", profile="published")
    assert "['value']['volume']['value'] = 60" in env.instructions()
    assert '"description"' in observation
    observation, *_ = env.step(choose("music"))
    assert "<schema>" not in observation
    *_, info = env.step(code("vw['environment']['value']['volume']['value'] = 60"))
    assert info["request_result"]["scores"]["request_success"]


def test_a_schema_is_sent_once_and_a_new_state_with_every_reflection() -> None:
    env, _ = car(mode="sfc", reflections=1)
    env.step(choose("music"))
    observation, *_, info = env.step(code("vw['environment']['volume'] = 600"))
    assert "Nothing was written." in observation
    assert "out_of_range" in info["action_error"]
    assert '"volume":50' in observation
    assert "<schema>" not in observation
    env.step(code("vw['environment']['volume'] = 60"))
    env.step(WORDS)
    observation, *_ = env.step(choose("music", "door"))
    assert "## door" in observation
    assert "## music" not in observation


def test_one_wrong_write_undoes_the_message_when_fixed_and_only_itself_as_published() -> None:
    lines = code("vw['environment']['volume'] = 60", "vw['music']['no_such_list'][7]['title'] = 'x'")
    for profile, volume in (("fixed", 50), ("published", 60)):
        env, _ = car(mode="sfc", profile=profile, reflections=1)
        env.step(choose("music"))
        env.step(lines)
        assert env.world.state.values["environment.volume"] == volume


# -- hybrid, mixed, plan ------------------------------------------------------------------------------------------------


def test_the_hybrid_shows_and_takes_only_functions_of_chosen_modules() -> None:
    env, observation = car(mode="hybrid")
    assert "<state>" in observation
    observation, *_ = env.step(choose("music", "boat"))
    assert "There is no module 'boat'." in observation
    assert "music_soundVolume_increase" in observation
    assert "carcontrol_carDoor_switch" not in observation
    observation, *_, info = env.step(code(OPEN))
    assert "unknown_module" in info["action_error"]
    *_, info = env.step(code(LOUD))
    assert info["request_result"]["scores"]["request_success"]
    assert info["request_result"]["selected"] == ["music"]


def test_a_choice_without_a_known_module_is_refused_and_one_left_out_declines() -> None:
    env, _ = car(mode="hybrid")
    before = env.state_hash()
    for message in (choose("boat"), code(LOUD)):
        observation, *_, info = env.step(message)
        assert info["action_error"] == observation
        assert env.state_hash() == before
    observation, *_, info = env.step(WORDS)
    assert info["request_result"]["scores"]["request_success"] is False
    assert observation.startswith("Request 2 of 3")


def test_calls_and_writes_act_on_one_car() -> None:
    env, _ = car(mixed=True)
    env.step(code(LOUD))
    env.step(code("vw['environment']['volume'] = 30"))
    observation, *_ = env.step(code("vw.music.music_soundVolume_increase(value=5)"))
    assert '"environment.volume":35' in observation
    *_, info = env.step(code("vw.environment.volume = 60"))
    assert info["request_result"]["scores"]["request_success"]
    assert (info["request_result"]["calls"], info["request_result"]["writes"]) == (2, 2)
    env, _ = car(mode="sfc", mixed=True)
    env.step(choose("music"))
    *_, info = env.step(code(LOUD))
    assert info["request_result"]["scores"]["request_success"]


def test_without_mixing_each_mode_takes_its_own() -> None:
    env, _ = car()
    *_, info = env.step(code("vw['environment']['volume'] = 60"))
    assert "forbidden_syntax" in info["action_error"]
    env, _ = car(mode="sfc", reflections=1)
    env.step(choose("music"))
    *_, info = env.step(code(LOUD))
    assert "Nothing was written" in info["action_error"]


def test_a_plan_is_drafted_from_the_request_alone_and_shown_with_it() -> None:
    env, observation = car(mode="sfc", plan=True)
    assert "<state>" not in observation
    assert "plan" in observation
    observation, *_ = env.step("Raise the volume by one step.")
    assert "Your plan: Raise the volume by one step." in observation
    assert "<state>" in observation
    env.step(choose("music"))
    observation, *_ = env.step(code("vw['environment']['volume'] = 60"))
    assert "Your plan" not in observation
    assert env.view()["stage"] == "plan"


# -- scores and rewards -------------------------------------------------------------------------------------------------


def test_the_result_of_a_request_tells_what_changed_and_what_should_have() -> None:
    env, _ = car("doors")
    env.step(
        code("vw.door.carcontrol_carDoor_switch(action='open', position='all')", "vw.music.music_soundVolume_set(value=3)")
    )
    *_, info = env.step("Done.")
    result = info["request_result"]
    assert json.loads(json.dumps(result)) == result
    assert (result["index"], result["request"], result["kinds"], result["modules"]) == (
        0,
        UNLOCK.text,
        ["act", "speaker"],
        ["door"],
    )
    assert (result["calls"], result["failed_calls"], result["writes"], result["rounds"]) == (2, 0, 0, 1)
    expected = {change["path"] for change in result["expected"]}
    assert expected == {f"door.doors.{DRIVER}.status", f"door.doors.{DRIVER}.angle"}
    assert expected < {change["path"] for change in result["changed"]}
    assert "environment.volume" in result["side_effects"]
    assert result["missing"] == result["wrong"] == []
    scores = result["scores"]
    assert scores["accuracy"] == 1.0
    assert scores["request_success"] is False
    assert scores["side_effects"] == 11
    assert scores["do_nothing"]["accuracy"] == 0.0
    assert info["score"] == 0.0


def test_a_mistake_counts_in_the_request_in_which_it_was_made() -> None:
    env, _ = car()
    env.step(code("vw.window.carcontrol_window_switch(position='all', switch=True)"))
    *_, first = env.step(WORDS)
    *_, second = env.step(WORDS)
    env.step(code(OPEN))
    *_, third = env.step(WORDS)
    assert [info["request_result"]["scores"]["request_success"] for info in (first, second, third)] == [False, True, True]
    assert third["score"] == pytest.approx(2 / 3)
    assert third["success"] is False
    assert third["stop_reason"] == "failure"


@pytest.mark.parametrize(
    ("reward", "expected"), [("requests", [0.0, 1 / 3, 1 / 3]), ("accuracy", [1 / 3] * 3), ("final", [0.0] * 3)]
)
def test_rewards_of_a_vandal_who_does_what_is_asked(reward: str, expected: list[float]) -> None:
    env, _ = car(reward=reward)
    rewards = []
    for line in (f"{LOUD}\nvw.window.carcontrol_window_switch(position='all', switch=True)", None, OPEN):
        if line:
            env.step(code(line))
        rewards.append(env.step(WORDS)[1])
    assert rewards == pytest.approx(expected)


def test_a_run_without_fault_is_worth_one_in_every_measure() -> None:
    for reward in ("requests", "accuracy", "final"):
        env, _ = car(reward=reward)
        total = sum(env.step(action)[1] for action in env.expert())
        assert total == pytest.approx(1.0)


def test_only_the_request_that_is_finished_is_scored_before_a_truncation() -> None:
    env, _ = car(max_turns=3)
    env.step(code(LOUD))
    env.step(WORDS)
    *_, truncated, info = env.step(code("get_modules()"))
    assert truncated
    assert info["score"] == pytest.approx(1 / 3)
    assert info["stop_reason"] == "max_rounds"


# -- native calls -------------------------------------------------------------------------------------------------------


def test_functions_are_tools_whose_last_result_brings_the_next_request() -> None:
    env, _ = car(calls="tools", reflections=0)
    assert len(env.tools()) == 249
    observation, *_, info = env.step(tool("music__music_soundVolume_increase", degree="little"))
    (result,) = info["tool_results"]
    assert (result.status, result.call_id) == ("ok", "c1")
    assert '"environment.volume":60' in result.content
    assert "Request 2 of 3" in result.content
    assert "Request 2 of 3" in observation
    assert "tools" not in info


def test_tools_are_offered_as_modules_are_looked_up() -> None:
    env, _ = car(calls="tools", tool_scope="selected")
    assert [schema["function"]["name"] for schema in env.tools()] == ["get_modules", "get_module_API", "to_dict"]
    *_, info = env.step(tool("music__music_soundVolume_increase"))
    assert "not offered" in info["action_error"]
    observation, *_, info = env.step(tool("get_module_API", modules=["music"]))
    assert "music__music_soundVolume_increase" in [schema["function"]["name"] for schema in info["tools"]]
    assert info["tools"] == env.tools()
    observation, *_, info = env.step(tool("to_dict", modules=["music", "environment"]))
    assert "tools" not in info
    assert '"_is_playing"' in observation
    env.step(tool("music__music_soundVolume_increase", degree="little"))
    *_, info = env.step(code("get_modules()"))
    assert "left for this request" not in str(info)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (ToolCall("get_modules", "{"), "no JSON object"),
        (ToolCall("", "<tool_call>{"), "could not be read"),
        (ToolCall("to_dict", {"modules": ["boat"]}), "There is no module 'boat'"),
        (ToolCall("to_dict", {}), "list of names"),
        (ToolCall("warp", {}), "Unknown function"),
        (ToolCall("music__music_soundVolume_set", {"value": "loud"}), "invalid_type"),
    ],
)
def test_a_tool_call_that_cannot_be_carried_out_says_why(call: ToolCall, words: str) -> None:
    env, _ = car(calls="tools")
    before = env.state_hash()
    observation, *_, info = env.step(Message("assistant", tool_calls=(call,)))
    assert words in observation
    assert words in info["action_error"]
    assert info["tool_results"][0].status != "ok"
    assert env.state_hash() == before


def test_modules_are_chosen_by_a_tool_in_the_hybrid() -> None:
    env, _ = car(mode="hybrid", calls="tools")
    assert [schema["function"]["name"] for schema in env.tools()] == ["select_modules"]
    *_, info = env.step(tool("music__music_soundVolume_increase"))
    assert "choose modules" in info["action_error"]
    observation, *_, info = env.step(tool("select_modules", modules=["music"]))
    assert info["tool_results"][0].content == observation
    assert {schema["function"]["name"].partition("__")[0] for schema in info["tools"]} == {"music"}
    env.step(tool("music__music_soundVolume_increase", degree="little"))
    *_, info = env.step(WORDS)
    assert info["request_result"]["scores"]["request_success"]
    assert [schema["function"]["name"] for schema in info["tools"]] == ["select_modules"]


def test_the_tools_of_the_task_alone_can_be_offered_and_code_is_taken_too() -> None:
    env, _ = car(calls="tools", tool_scope="modules")
    assert {schema["function"]["name"].partition("__")[0] for schema in env.tools()} == {"to_dict", "music", "door"}
    env.step(code(LOUD))
    *_, info = env.step(WORDS)
    assert info["request_result"]["scores"]["request_success"]


def test_tool_calls_are_refused_where_there_are_no_tools() -> None:
    for mode in ("fc", "sfc", "hybrid"):
        env, _ = car(mode=mode)
        assert env.tools() == []
        *_, info = env.step(tool("get_modules"))
        assert "fenced block" in info["action_error"]


# -- options ------------------------------------------------------------------------------------------------------------


def test_a_smaller_car_has_the_task_s_modules_and_some_others() -> None:
    env, observation = car(mode="sfc", extra_modules=2)
    other, _ = car(mode="fc", extra_modules=2)
    assert len(env.visible) == 4
    assert set(env.visible) > {"door", "music"}
    assert env.visible == other.visible
    assert f"only these modules: {', '.join(env.visible)}" in observation
    hidden = next(module for module in MODULES if module not in env.visible)
    observation, *_ = other.step(code("get_modules()", f"vw.{hidden}.to_dict()"))
    assert f'"{hidden}"' not in observation
    assert "is not offered" in observation
    *_, info = env.step(choose(hidden))
    assert info["action_error"]
    env.step(choose("music"))
    *_, info = env.step(code("vw['wiper']['front']['is_on'] = True" if hidden == "wiper" else f"vw['{hidden}']['x'] = True"))
    assert info["request_result"]["writes"] == 0
    alone, _ = car(extra_modules=0)
    assert alone.visible == ("music", "door")


def test_a_compact_choice_shows_what_differs_from_the_standard_car() -> None:
    _, observation = car("doors", mode="sfc", selection_state="compact")
    assert '"environment.language":"English"' in observation
    assert '"environment.volume"' not in observation
    assert "door: " in observation
    assert len(observation) < 6000


def test_constants_are_shown_on_demand() -> None:
    short, long = car(mode="sfc")[1], car(mode="sfc", constants=True)[1]
    assert len(short) < len(long)


@pytest.mark.parametrize(
    "options",
    [
        {"mode": "fc"},
        {"mode": "sfc"},
        {"mode": "hybrid"},
        {"calls": "tools"},
        {"mode": "hybrid", "calls": "tools"},
        {"mode": "sfc", "state_form": "wrapped", "profile": "published", "plan": True, "mixed": True, "reflections": 2},
    ],
)
def test_instructions_are_whole_and_an_example_can_be_added(options: dict) -> None:
    plain, shot = car(**options)[0].instructions(), car(**options, few_shot=True)[0].instructions()
    assert "$" not in shot
    assert shot.startswith(plain)
    assert "Example of a request" in shot
    assert "Example of a request" not in plain
    assert ("without calls" if "calls" in options else "without code") in plain


def test_tasks_come_from_the_generator_a_set_or_a_path(tmp_path) -> None:
    made = gym.make("palaestra/VehicleWorld-v0", difficulty="easy", split="test")
    assert made.reset(seed=3)[1]["task"]["split"] == "test"
    assert car()[0].tasks.splits == ("train", "test")
    with pytest.raises(UsageError, match="nothing"):
        VehicleWorldEnv(tasks=tmp_path / "nothing.jsonl")
    with pytest.raises(ConfigError, match="difficulty is for tasks that are made"):
        VehicleWorldEnv(tasks=dialogues(), difficulty="easy")
    with pytest.raises(ConfigError, match="expected None, a path or a TaskSet"):
        VehicleWorldEnv(tasks=3)


@pytest.mark.parametrize(
    "data", [{}, {"modules": ["door"], "setup": [], "requests": []}, {"modules": 3, "setup": [], "requests": []}]
)
def test_a_task_that_is_no_dialogue_is_refused(data: dict) -> None:
    env = VehicleWorldEnv(tasks=FixedTasks([Task("odd", "train", "", data)]))
    with pytest.raises(UsageError, match="'odd'"):
        env.reset()


# -- state --------------------------------------------------------------------------------------------------------------


def test_the_view_has_the_parts_of_the_observation() -> None:
    env, _ = car(mode="hybrid")
    view = env.view()
    assert (view["request"], view["index"], view["num_requests"], view["stage"]) == (LOUDER.text, 0, 3, "select")
    assert view["state_view"]["environment"]["volume"] == 50
    assert view["api_view"] is None
    env.step(choose("music"))
    env.step(code("get_modules()"))
    view = env.view()
    assert (view["stage"], view["round"], view["max_rounds"], view["modules"]) == ("act", 1, 2, ["music"])
    assert view["state_view"] is None
    assert "music_soundVolume_increase" in view["api_view"]
    assert "get_modules()" in view["feedback"]
    json.dumps(view)
    for _ in range(4):
        env.step(WORDS)
        if not env.request:
            break
    assert env.view()["request"] == ""


@pytest.mark.parametrize(
    "options",
    [
        {"mode": "fc"},
        {"mode": "sfc", "reflections": 2},
        {"calls": "tools", "tool_scope": "selected"},
        {"profile": "published", "mixed": True},
    ],
)
def test_play_goes_on_from_a_state_in_the_middle_of_a_request(options: dict) -> None:
    env, _ = car("mixed", **options)
    env.action_space.seed(5)
    for _ in range(7):
        state = env.state_dict()
        other = VehicleWorldEnv(tasks=dialogues(), **options)
        other.load_state_dict(json.loads(json.dumps(state)))
        twin = pickle.loads(pickle.dumps(env))
        assert other.state_hash() == env.state_hash()
        assert other.view() == env.view()
        action = env.action_space.sample()
        result = env.step(action)
        assert other.step(action) == result
        assert twin.step(action) == result
        if result[2]:
            break


def test_two_episodes_do_not_touch_each_other() -> None:
    env, first = car(mode="sfc")
    env.step(choose("music"))
    env.step(code("vw['environment']['volume'] = 3"))
    assert env.reset(options={"task": "mixed"})[0] == first
    assert env.gold == env.world
    assert VehicleWorld("fixed").state.values["environment.volume"] == 50


def test_the_cockpit_is_rendered_with_what_has_changed() -> None:
    env, _ = car(render_mode="ansi")
    env.step(code(LOUD))
    text = env.render()
    assert LOUD in text
    assert "60*" in text or "*60" in text
    picture = car(render_mode="rgb_array")[0].render()
    assert (picture.dtype, picture.ndim, picture.shape[2]) == (np.uint8, 3, 3)


FRAGMENTS = st.sampled_from(
    [
        "```python\n",
        "```",
        "<modules>",
        "</modules>",
        "vw.",
        "vw['",
        "door",
        "music",
        "\n",
        "(",
        ")",
        "=",
        "get_modules()",
        "True",
        "{",
        "}",
    ]
)
MESSAGES = st.lists(st.lists(FRAGMENTS | st.text(max_size=8), max_size=12).map("".join), min_size=1, max_size=6)


@pytest.mark.parametrize(
    "options", [{"mode": "fc"}, {"mode": "sfc"}, {"mode": "hybrid", "mixed": True, "profile": "published"}]
)
def test_no_message_raises_or_half_changes_the_car(options: dict) -> None:
    env = VehicleWorldEnv(tasks=dialogues(), **options)

    @settings(max_examples=60)
    @given(MESSAGES)
    def play(messages: list[str]) -> None:
        env.reset(options={"task": "doors"})
        for message in messages:
            before = env.state_hash()
            *_, terminated, _, info = env.step(message)
            if info["action_error"]:
                assert env.state_hash() == before
            if terminated:
                break

    play()


@pytest.mark.parametrize("profile", ["fixed", "published"])
@pytest.mark.parametrize(
    "written",
    [
        '{"environment.timestamp": "\\ud800"}',
        '{"environment.x\\ud800": 3}',
        "vw['environment']['timestamp'] = '\\ud800'",
        "vw['environment']['x\\ud800'] = 3",
        "vw.conversation.conversation_message_send(contact='\\ud800', content='a')",
    ],
)
def test_half_a_surrogate_pair_never_gets_into_the_car(profile: str, written: str) -> None:
    env, _ = car(profile=profile, mixed=True)
    observation, *_, info = env.step(f"```\n{written}\n```")
    assert info["action_error"]
    assert observation in env.observation_space
    env.restore(env.snapshot())
    native, _ = car(profile=profile, calls="tools")
    *_, info = native.step(tool("conversation__conversation_message_send", contact="\ud800", content="\ud800"))
    assert "lone surrogates" in info["action_error"]
    native.restore(native.snapshot())
    assert native.view()["round"] == 0


@pytest.mark.parity
@pytest.mark.parametrize("mode", ["fc", "sfc", "hybrid"])
def test_the_gold_plans_of_published_tasks_score_as_published(mode: str) -> None:
    found = files("tasks.jsonl.gz")
    if not found:
        pytest.skip("no tasks.jsonl.gz in the folders named by PALAESTRA_FIXTURES")
    for file in found:
        env = VehicleWorldEnv(mode=mode, profile="published", tasks=file)
        results = []
        for split in env.tasks.splits:
            for task in env.tasks.split(split).first(150):
                env.reset(options={"task": task})
                for action in env.expert():
                    *_, info = env.step(action)
                    results += [info["request_result"]] if "request_result" in info else []
        wrong = [result["request"] for result in results if not result["scores"]["request_success"]]
        assert len(wrong) <= len(results) * (0 if mode == "sfc" else 0.01), wrong  # some gold steps are no calls of functions


def test_every_dialogue_is_a_task_of_its_own_class() -> None:
    assert [task.type for task in dialogues()] == [
        DIALOGUES[name].interaction for name in ("doors", "climate", "mixed", "idle")
    ]


def test_the_schema_of_chosen_modules_can_be_left_out() -> None:
    texts = []
    for schema in (True, False):
        env = gym.make("palaestra/VehicleWorld-v0", mode="sfc", schema=schema)
        env.reset(seed=0)
        texts.append(env.step("<modules>\ndoor\n</modules>")[0])
    assert "<schema>" in texts[0]
    assert "<schema>" not in texts[1]
    assert texts[0].startswith(texts[1])
