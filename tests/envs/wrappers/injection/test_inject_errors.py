import json
import pickle
import subprocess
import sys

import gymnasium
import pytest

import palaestra  # noqa: F401  (registers the environments)
from palaestra.envs import InjectErrors, RecordTrajectory, RewardNoise, TurnLimit
from palaestra.envs.core.outermost import outermost
from palaestra.errors import ConfigError, EpisodeStateError, UnknownNameError
from palaestra.types import Message, ToolCall, plain

DESK = "palaestra/Desk-v0"
LATER = {"step": 2, "label": "rate_limit", "persistence": 2}
MODES = {"slip": "parameters_value_error", "outage": "rate_limit", "prefix": "parameters_key_error"}


def desk(**settings):
    return InjectErrors(gymnasium.make(DESK, difficulty="hard"), **settings)


def play(env, seed=0, options=None, actions=None):
    """Play the expert, or actions, and return everything that was returned, as plain data, and the infos."""
    start = env.reset(seed=seed, options=options)
    told, infos = [plain(list(start))], [start[1]]
    for action in outermost(env, "expert")() if actions is None else actions:
        step = env.step(action)
        told.append(plain(list(step)))
        infos.append(step[4])
        if step[2] or step[3]:
            break
    return told, infos


def injected(infos):
    return [info["injection"] for info in infos if "injection" in info]


@pytest.mark.parametrize("mode", ["slip", "outage", "prefix"])
def test_an_episode_without_an_error_is_the_environments_own_to_the_byte(mode):
    bare = gymnasium.make(DESK, difficulty="hard")
    for seed in range(3):
        env = desk(mode=mode, plan={"label": ""})
        assert json.dumps(play(env, seed)[0]) == json.dumps(play(bare, seed)[0])
        assert env.state_hash() == bare.unwrapped.state_hash()


@pytest.mark.parametrize("mode", MODES)
def test_the_error_is_there_once_and_the_expert_recovers(mode):
    for seed in range(6):
        _, infos = play(desk(mode=mode, plan={"step": 2, "label": MODES[mode]}), seed)
        (error,) = [one for one in injected(infos) if not one.get("again")]
        assert (error["mode"], error["step"], error["planned"]["step"]) == (mode, 2, 2)
        assert infos[-1]["success"]
        assert infos[-1]["critique"]["recovered"]


def test_score_and_success_are_the_tasks_and_rewards_are_told_apart():
    _, infos = play(desk(mode="outage", plan=LATER))
    assert (infos[-1]["score"], infos[-1]["success"]) == (1.0, True)
    paid = [info["reward_parts"]["critic"] for info in infos[1:] if "critic" in info["reward_parts"]]
    assert paid == [0.5]
    _, infos = play(desk(mode="outage", plan=LATER, w_task=0.25, w_critic=0.0))
    assert infos[-1]["reward_parts"] == {"task": 0.25, "critic": 0.0}


def test_a_transient_outage_fails_as_often_as_planned_costs_turns_and_changes_nothing():
    env = desk(mode="outage", plan=LATER)
    bare = gymnasium.make(DESK, difficulty="hard")
    golden = [action for action in _golden(bare)]
    env.reset(seed=0)
    env.step(golden[0])
    before = env.unwrapped.state_hash(), env.unwrapped._num_turns
    texts = set()
    for _ in range(2):
        observation, *_, info = env.step(golden[1])
        texts.add(observation)
        assert [result.status for result in info["tool_results"]] == ["error"]
        assert info["action_error"]
    assert len(texts) == 1  # the same words each time
    assert env.unwrapped.state_hash() == before[0]
    assert env.unwrapped._num_turns == before[1] + 2
    assert env.step(golden[1])[4]["critique"]["behaviour"] == "retry_succeeded"


def _golden(env, seed=0):
    env.reset(seed=seed)
    actions = []
    for action in env.unwrapped.expert():
        actions.append(action)
        if any(env.step(action)[2:4]):
            break
    return actions


def test_an_outage_that_lasts_is_given_up_and_reported():
    env = desk(mode="outage", plan={"step": 1, "label": "connection_error", "persistence": "always"})
    said = []
    env.reset(seed=0)
    for action in env.expert():
        said.append(action)
        *_, terminated, truncated, info = env.step(action)
        if terminated or truncated:
            break
    assert sum("injection" in str(one) or not isinstance(one, str) for one in said) >= 3
    assert not info["success"]
    assert info["critique"]["behaviour"] in ("retry_then_skip", "retry_then_finish")
    assert "add_note kept failing" in said[-1].content


@pytest.mark.parametrize(
    ("label", "status"), [("timeout", "timeout"), ("empty_response", "error"), ("malformed_payload", "error")]
)
def test_kinds_of_outages_come_in_the_environments_own_form(label, status):
    told, infos = play(desk(mode="outage", plan={"step": 2, "label": label}))
    at = next(i for i, info in enumerate(infos) if "injection" in info)
    assert told[at][0].startswith("<tool_response>")
    assert infos[at]["tool_results"][0].status == status
    assert injected(infos)[0]["label"] == label


def test_in_a_slip_the_right_call_is_the_agents_own_and_the_wrong_one_is_run():
    env = desk(mode="slip", plan={"step": 1, "label": "tool_hallucination_error"})
    env.reset(seed=0)
    own = ToolCall("find_events", {"query": "Solar photos"}, "call_1")
    observation, *_, info = env.step(Message("assistant", "Let me look.", (own,)))
    error = info["injection"]
    assert error["call"] == own.to_json()
    assert error["wrong"]["name"] in observation  # the environment's own words
    assert "no tool" in observation
    played = Message.from_json(error["played"])
    assert (played.content, played.tool_calls[0].id) == ("Let me look.", "call_1")
    *_, info = env.step(Message("assistant", "", (own,)))
    assert info["critique"]["behaviour"] == "correction_without_reflection"
    assert info["critique"]["steps_to_recovery"] == 1


def test_of_parallel_calls_one_fails_and_the_others_run():
    calls = tuple(ToolCall("find_events", {"query": word}) for word in ("a", "b", "c"))
    wrong = ToolCall("find_events", {"nothing": 1})
    env = desk(mode="outage", plan={"step": 1, "label": "timeout"})
    env.reset(seed=0)
    *_, info = env.step(Message("assistant", "", (wrong, *calls)))
    assert info["injection"]["index"] == 1  # the first that is right
    assert [result.status for result in info["tool_results"]] == ["invalid_arguments", "timeout", "ok", "ok"]
    assert info["action_error"] == ""


@pytest.mark.parametrize("mode", ["slip", "outage"])
def test_a_plan_that_cannot_be_carried_out_says_why(mode):
    _, infos = play(desk(mode=mode, plan={"step": 40, "label": MODES[mode]}))
    assert "before step 40" in infos[-1]["injection"]["why"]
    env = desk(mode=mode, plan={"label": MODES[mode]})
    env.reset(seed=0)
    env.step(Message("assistant", "", (ToolCall("no_such_tool"),)))
    *_, info = env.step("I am done.")
    assert "right by the schemas" in info["injection"]["why"]
    assert "critique" not in info


def test_a_prefix_that_is_longer_than_the_experts_plan_leaves_the_episode_as_it_was():
    bare = gymnasium.make(DESK, difficulty="hard")
    env = desk(mode="prefix", plan={"step": 40, "label": "parameters_key_error"})
    assert env.reset(seed=3) == bare.reset(seed=3)
    _, infos = play(env, seed=3)
    assert "steps with calls" in infos[-1]["injection"]["why"]


def test_a_prefix_shows_the_beginning_and_costs_no_turns():
    env = InjectErrors(
        gymnasium.make(DESK, difficulty="hard", max_turns=2), plan={"step": 2, "label": "timeout"}, mode="prefix"
    )
    observation, info = env.reset(seed=0)
    assert [one["message"]["tool_calls"][0]["name"] for one in info["history"]] == ["add_note", "find_events"]
    assert info["injection"]["result"]["content"] in observation
    assert env.step("\ud800")[3] is False
    assert env.step("\ud800")[3] is True


@pytest.mark.parametrize("critique", ["text", "tool"])
def test_an_expert_reports_the_error_and_gets_the_full_grade(critique):
    for mode in ("slip", "prefix"):
        env = desk(mode=mode, plan={"step": 2, "label": "parameters_key_error"}, critique=critique)
        _, infos = play(env)
        grade = next(info["critique"] for info in infos if "critique" in info)
        assert grade["components"] == {"detect": 1.0, "category": 1.0, "tool": 1.0, "arguments": 1.0}
        assert (grade["behaviour"], grade["value"]) == ("correct", 1.0)
        assert infos[-1]["success"]
    tools = [tool["function"]["name"] for tool in infos[0]["tools"]]
    assert ("report_error" in tools) is (critique == "tool")
    assert "parameters_key_error" in infos[0]["instructions"]


def test_claims_without_an_error_are_over_reflection():
    env = desk(mode="slip", plan={"step": 1, "label": ""}, critique="text")
    golden = _golden(gymnasium.make(DESK, difficulty="hard"))
    env.reset(seed=0)
    env.step(golden[0])
    *_, info = env.step(f'<critique>{{"error": "parameters_key_error"}}</critique>{golden[1]}')
    assert (info["critique"]["behaviour"], info["reward_parts"]["critic"]) == ("over_reflection", 0.0)
    env.reset(seed=0)
    env.step(golden[0])
    *_, info = env.step(golden[1])
    assert (info["critique"]["behaviour"], info["reward_parts"]["critic"]) == ("proceed", 0.5)
    assert "injection" not in info


@pytest.mark.parametrize("mode", MODES)
def test_snapshots_pickles_and_second_environments_continue_alike(mode):
    env = desk(mode=mode, plan={"step": 2, "label": MODES[mode], "persistence": 2})
    golden = _golden(gymnasium.make(DESK, difficulty="hard"))
    env.reset(seed=0)
    env.step(golden[0])
    saved, digest = env.snapshot(), env.state_hash()
    twin, third = pickle.loads(pickle.dumps(env)), desk(mode=mode, plan={"step": 2, "label": MODES[mode], "persistence": 2})
    third.restore(saved)
    assert (third.state_hash(), third.snapshot()) == (digest, saved)
    for action in golden[1:]:
        steps = [plain(list(one.step(action))) for one in (env, twin, third)]
        assert steps[0] == steps[1] == steps[2]
        if steps[0][2]:
            break
    assert env.state_hash() != digest
    with pytest.raises(EpisodeStateError):
        env.restore(env.unwrapped.snapshot())


SCRIPT = """
import json, gymnasium, palaestra
from palaestra.envs import InjectErrors
from palaestra.types import plain
for mode in ("slip", "outage", "prefix"):
    env = InjectErrors(gymnasium.make("palaestra/Desk-v0"), mode=mode, seed=5)
    for seed in range(12):
        told = [env.reset(seed=seed)[0]]
        for action in env.expert():
            step = env.step(action)
            told.append(plain(list(step)))
            if step[2] or step[3]:
                break
        print(json.dumps(told))
"""


def test_another_process_with_another_hash_seed_injects_the_same(monkeypatch):
    outputs = []
    for hash_seed in ("1", "4242"):
        monkeypatch.setenv("PYTHONHASHSEED", hash_seed)
        outputs.append(subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, check=True).stdout)
    assert outputs[0] == outputs[1]
    assert outputs[0].count(b'"injection"') >= 16


def test_chance_is_the_wrappers_own_and_follows_from_its_seed():
    def labels(seed):
        env, found = desk(mode="slip", seed=seed, sampler={"error_free": 0.0}), []
        for at in range(12):
            found += [one["label"] + one["kind"] for one in injected(play(env, at)[1]) if "label" in one]
        return found

    assert labels(1) == labels(1)
    assert labels(1) != labels(2)
    bare, env = gymnasium.make(DESK), InjectErrors(gymnasium.make(DESK), mode="outage", seed=3)
    for one in (bare, env):
        one.reset(seed=9)
    assert [bare.reset()[0] for _ in range(4)] == [env.reset()[0] for _ in range(4)]


@pytest.mark.parametrize(("wrap", "arguments"), [(TurnLimit, [30]), (RecordTrajectory, []), (RewardNoise, ["flip", 0.0])])
def test_wrappers_around_and_inside_do_not_change_the_error(wrap, arguments):
    plan = {"step": 2, "label": "rate_limit"}
    inside = InjectErrors(wrap(gymnasium.make(DESK, difficulty="hard"), *arguments), plan=plan, mode="outage")
    around = wrap(desk(plan=plan, mode="outage"), *arguments)
    reference = play(desk(plan=plan, mode="outage"))[0]
    for env in (inside, around):
        told, infos = play(env)
        assert [row[0] for row in told] == [row[0] for row in reference]
        assert infos[-1]["success"]
    assert gymnasium.make(inside.spec).reset(seed=0)[0] == inside.reset(seed=0)[0]


def test_a_report_tool_whose_name_is_taken_gets_another():
    inner = desk(plan={"label": ""}, critique="tool")
    outer = InjectErrors(inner, plan={"label": ""}, critique="tool")
    names = [tool["function"]["name"] for tool in outer.reset(seed=0)[1]["tools"]]
    assert names[-2:] == ["report_error", "report_error_2"]
    *_, info = outer.step(Message("assistant", "", (ToolCall("report_error_2", {"category": "none"}),)))
    assert info["tool_results"][0].content == "Noted."


@pytest.mark.parametrize(
    ("settings", "match"),
    [
        ({"mode": "slap"}, "slap"),
        ({"plan": {"label": "rate_limit"}, "mode": "slip"}, "internal"),
        ({"plan": {"label": "parameters_key_error"}, "mode": "outage"}, "external"),
        ({"plan": {"step": 0, "label": ""}}, "step"),
        ({"plan": {"lable": ""}}, "lable"),
        ({"plan": {"label": "no such"}}, "no such"),
        ({"plan": {"label": "rate_limit", "persistence": 0}, "mode": "outage"}, "persistence"),
        ({"plan": {"label": ""}, "sampler": {}}, "one of them"),
        ({"sampler": {"labels": []}}, "labels"),
        ({"sampler": {"internl": 1}}, "internl"),
        ({"critique": "yes"}, "yes"),
        ({"seed": 1.5}, "seed"),
        ({"w_task": float("nan")}, "w_task"),
    ],
)
def test_wrong_settings_are_refused(settings, match):
    with pytest.raises((ConfigError, UnknownNameError), match=match):
        desk(**settings)
