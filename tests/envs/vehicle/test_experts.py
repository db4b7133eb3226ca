import pytest

from palaestra.envs.vehicle.env import VehicleWorldEnv
from palaestra.envs.vehicle.experts import DECLINE, DONE, Situation
from palaestra.types import Message
from tests.envs.vehicle.dialogues import PASSENGER, dialogues

MODES = [
    {"mode": "fc"},
    {"mode": "fc", "reflections": 0},
    {"mode": "fc", "plan": True, "extra_modules": 1},
    {"mode": "fc", "calls": "tools"},
    {"mode": "fc", "calls": "tools", "tool_scope": "modules", "reflections": 0},
    {"mode": "fc", "calls": "tools", "tool_scope": "selected"},
    {"mode": "fc", "calls": "tools", "tool_scope": "selected", "reflections": 0},
    {"mode": "sfc"},
    {"mode": "sfc", "reflections": 2, "state_form": "wrapped"},
    {"mode": "sfc", "profile": "published", "plan": True},
    {"mode": "hybrid"},
    {"mode": "hybrid", "calls": "tools"},
    {"mode": "hybrid", "calls": "tools", "tool_scope": "all", "profile": "published"},
]


def play(env: VehicleWorldEnv) -> tuple[list[str | Message], float, dict]:
    actions, total, info = [], 0.0, {}
    for action in env.expert():
        _, reward, _, _, info = env.step(action)
        assert not info["action_error"], (action, info["action_error"])
        actions.append(action)
        total += float(reward)
    return actions, total, info


def at(task: str, **options) -> VehicleWorldEnv:
    env = VehicleWorldEnv(tasks=dialogues(), **options)
    env.reset(seed=0, options={"task": task})
    return env


@pytest.mark.parametrize("options", MODES)
@pytest.mark.parametrize("task", ["doors", "mixed", "climate", "idle"])
def test_every_dialogue_is_served_in_every_mode(task: str, options: dict) -> None:
    _, total, info = play(at(task, **options))
    assert info["success"]
    assert total == pytest.approx(1.0)


@pytest.mark.parametrize(
    "options", [{}, {"mode": "sfc"}, {"mode": "hybrid"}, {"calls": "tools"}, {"mode": "sfc", "profile": "published"}]
)
@pytest.mark.parametrize("difficulty", ["easy", "normal", "hard"])
def test_generated_dialogues_are_served(difficulty: str, options: dict) -> None:
    env = VehicleWorldEnv(difficulty=difficulty, **options)
    for task in env.tasks.split("test").first(15):
        env.reset(options={"task": task})
        _, total, info = play(env)
        assert total == pytest.approx(1.0), (task.key, info["request_result"])


def test_function_calls_read_what_decides_before_they_act() -> None:
    actions, _, _ = play(at("climate"))
    first, second, third, *rest = (str(action) for action in actions)
    assert "vw.airConditioner.to_dict()" in first
    assert "vw.airConditioner.switch(" in second
    assert third == DONE
    assert "music_get_currentAlbum" in rest[0]
    declined, *_ = play(at("mixed"))
    assert DECLINE in declined
    tools, *_ = play(at("climate", calls="tools"))
    assert [call.name for call in tools[0].tool_calls] == ["to_dict"]
    assert [call.name for call in tools[1].tool_calls] == ["airConditioner__switch"]
    assert len({call.id for action in tools if isinstance(action, Message) for call in action.tool_calls}) == 4


def test_writes_mend_whatever_has_happened_in_the_request() -> None:
    env = at("doors", mode="sfc", reflections=3)
    env.step("<modules>\ndoor\nmusic\n</modules>")
    env.step(f"```\nvw['door']['doors']['{PASSENGER}']['is_locked'] = True\nvw['environment']['volume'] = 1\n```")
    rules, request, progress = env.rules, env.request, env.progress
    wanted = Situation(rules, env.world, request, progress, env.visible, env.asked, has_acted=False).goal()
    actions, total, _ = play(env)
    assert total == 1.0
    assert env.world == wanted
    assert "3 properties change" in actions[0] or "4 properties change" in actions[0]


def test_function_calls_go_on_where_the_plan_was_left() -> None:
    env = at("doors")
    calls = env.request.calls
    env.step(f"```python\n{calls[0].code()}\n```")
    actions, total, _ = play(env)
    assert (len(actions), total) == (2, 1.0)
    assert actions[0] == f"```python\n{calls[1].code()}\n```"


def test_what_calls_cannot_mend_is_left() -> None:
    env = at("doors")
    env.step("```python\nvw.music.music_soundVolume_set(value=3)\n```")
    actions, total, info = play(env)
    assert (actions, total, info["success"]) == ([DONE], 0.0, False)


def test_the_expert_waits_until_its_action_is_played() -> None:
    assert len(list(at("doors").expert())) == 1
    assert list(VehicleWorldEnv(tasks=dialogues()).expert()) == []
