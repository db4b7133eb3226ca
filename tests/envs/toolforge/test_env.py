"""`palaestra/ToolForge-v0`: rewards, profiles, malformed messages, prefixes, and agents that must get nothing."""

import json
import pickle

import gymnasium
import pytest

from palaestra.envs.formats.hermes import format_call, parse_message
from palaestra.envs.toolforge import write_instances
from palaestra.envs.toolforge.env import ToolForgeEnv
from palaestra.envs.toolforge.graph import SCENARIOS
from palaestra.envs.toolforge.published import parse_qwen
from palaestra.envs.toolforge.rows import answer_text
from palaestra.envs.toolforge.tasks import FileTasks
from palaestra.errors import ConfigError, MissingDataError, UnknownNameError, UsageError
from palaestra.types import Message, Step, ToolCall, Trajectory
from tests.envs.toolforge.made import chain, made, parallel

FIRST = ToolCall("founder_of", {"company": "Velmora"})
SECOND = ToolCall("born_in", {"person": "Iska Tarn"})
OTHER = ToolCall("founder_of", {"company": "Odrin"})
WRONG = ToolCall("sunk_in", {"ship": "Alwina"})


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    path = tmp_path_factory.mktemp("forge") / "made.jsonl"
    write_instances(path, [made(chain("chain")), made(parallel("pair"))])
    return path


OPEN = []


@pytest.fixture(autouse=True)
def _closed():
    yield
    while OPEN:
        OPEN.pop().close()


def opened(**arguments):
    OPEN.append(ToolForgeEnv(**arguments))
    return OPEN[-1]


def began(file, key="chain", **arguments):
    env = opened(instances=file, **arguments)
    env.reset(seed=0, options={"task": key})
    return env


def play(env, *actions):
    """Play actions and return rewards and the last info."""
    rewards = []
    for action in actions:
        if isinstance(action, list):
            action = Message("assistant", "", tuple(action))
        _, reward, _, _, info = env.step(
            action if isinstance(action, Message) else format_call(action) if isinstance(action, ToolCall) else action
        )
        rewards.append(reward)
    return rewards, info


@pytest.mark.parametrize(
    ("reward", "actions", "rewards"),
    [
        ("success", [FIRST, SECOND, "1931"], [0, 0, 1]),
        ("success", [FIRST, SECOND, "1932"], [0, 0, 0]),
        ("success", [FIRST, "1931"], [0, 0]),
        ("episode_f1", [FIRST, SECOND, "no idea"], [0, 0, 1]),
        ("episode_f1", [FIRST, WRONG, "no idea"], [0, 0, 0.5]),
        ("mixed", [FIRST, SECOND, "no idea"], [0, 0, 0.5]),
        ("mixed", [[FIRST, SECOND], "1931"], [0, 1]),
        ("paper_turn", [FIRST, SECOND, "1931"], [1, 1, 1]),
        ("paper_turn", [[FIRST, SECOND], "1932"], [4 / 3, 0.5]),
        ("paper_turn", [[FIRST, FIRST], "1931"], [2 / 3, 0]),
        ("paper_turn", [WRONG, FIRST, FIRST], [0, 1, 0]),
    ],
)
def test_rewards_by_hand(file, reward, actions, rewards):
    assert play(began(file, reward=reward), *actions)[0] == pytest.approx(rewards)


@pytest.mark.parametrize(("scheme", "paid"), [("f1", 1.0), ("precision", 2 / 3), ("recall", 2), ("pr", 4 / 3)])
def test_schemes_of_the_reward_of_a_turn(file, scheme, paid):
    env = began(file, "pair", reward="paper_turn", scheme=scheme)
    assert play(env, [FIRST, WRONG, OTHER])[0] == pytest.approx([paid])


def test_a_guess_is_paid_only_where_that_is_asked_for(file):
    assert play(began(file, reward="paper_turn", no_free_guess=False), FIRST, "1931")[0] == [1, 0.5]
    assert play(began(file, reward="paper_turn", profile="published"), FIRST, "1931")[0] == [1, 0.5]
    assert play(began(file, reward="paper_turn", profile="published", no_free_guess=True), FIRST, "1931")[0] == [1, 0]


def test_what_a_step_tells(file):
    env = began(file, "pair")
    info = play(env, [FIRST, WRONG])[1]
    assert (info["solved"], info["remaining"], info["parse_errors"]) == (["n1"], 1, [])
    assert [one.status for one in info["tool_results"]] == ["ok", "ok"]
    info = play(env, FIRST, [OTHER, ToolCall("none", {}), ToolCall("founder_of", {})], "Iska Tarn, Pell Quist")[1]
    metrics = info["metrics"]
    assert metrics["solve_f1"] == pytest.approx(2 * 2 / (6 + 2))
    assert metrics["solve_precision"] == pytest.approx(2 / 6)
    assert (metrics["solve_recall"], metrics["solve_ordered"], metrics["final_correct"]) == (1, 1, 1)
    assert (metrics["calls"], metrics["failed_calls"], metrics["redundant_calls"], metrics["parallelism"]) == (6, 2, 1, 3)
    assert info["success"]


def test_an_answer_before_those_it_depends_on_is_not_in_order(file):
    assert play(began(file), [SECOND, FIRST])[1]["metrics"]["solve_ordered"] == 0.5
    assert play(began(file), [FIRST, SECOND])[1]["metrics"]["solve_ordered"] == 1


def test_statuses(file):
    sources = {
        "founder_of": "def founder_of(company, unit=None):\n    raise ValueError('Iska Tarn')",
        "born_in": "def born_in(person):\n    while True:\n        pass",
        "sunk_in": "def sunk_in(ship):\n    import socket\n    return str(socket.socket())",
    }
    value = chain("odd", impl={name: {"kind": "python", "source": source} for name, source in sources.items()})
    path = file.with_name("odd.jsonl")
    write_instances(path, [made(value)])
    env = began(path, "odd", tool_timeout_s=0.3)
    calls = [FIRST, SECOND, WRONG, ToolCall("none", {}), ToolCall("founder_of", {"company": 3}), ToolCall("founder_of", "{")]
    results = play(env, calls)[1]["tool_results"]
    assert [one.status for one in results[:2]] == ["error", "timeout"]
    assert results[2].status in ("error", "blocked", "crash")
    assert [one.status for one in results[3:]] == ["unknown_tool", "invalid_arguments", "invalid_arguments"]
    assert all("Iska" not in one.content for one in results)
    env.close()


@pytest.mark.parametrize("text", ["<tool_call>{bad</tool_call>", 'founder_of(company="Velmora")', "<tool_call>"])
def test_a_call_that_cannot_be_read_is_told_or_ends_the_episode(file, text):
    env = began(file, reward="paper_turn")
    rewards, info = play(env, text)
    assert rewards == [-0.3]
    assert info["action_error"]
    assert info["parse_errors"]
    assert not info["stop_reason"]
    assert info["metrics"]["calls"] == 0
    assert play(env, FIRST, SECOND, "1931")[1]["success"]
    env = began(file, reward="paper_turn", malformed="terminate")
    assert play(env, text)[1]["stop_reason"] == "failure"


@pytest.mark.parametrize("profile", ["strict", "published"])
def test_calls_in_thoughts_are_not_made(file, profile):
    text = f"<think>{format_call(FIRST)}</think>1931"
    assert play(began(file, profile=profile), text)[1]["metrics"]["calls"] == 0
    assert parse_qwen(text)["tool_calls"]  # the published function reads what it is given


def test_the_published_profile_can_be_hacked_and_the_strict_one_not(file):
    echo = [ToolCall("founder_of", {"Iska Tarn": 1}), ToolCall("born_in", {"1931": 1})]
    assert play(began(file, profile="published"), echo)[1]["metrics"]["solve_recall"] == 1
    assert play(began(file), echo)[1]["metrics"]["solve_recall"] == 0


def test_published_texts_of_errors_and_the_end_of_malformed_messages(file):
    env = began(file, profile="published", reward="paper_turn")
    observation, _, _, _, info = env.step(format_call(ToolCall("none", {})))
    assert "an error occured when call none: 'none'" in observation
    assert info["tool_results"][0].status == "unknown_tool"
    rewards, info = play(env, "<tool_call>{bad")
    assert (rewards, info["stop_reason"]) == ([-0.3], "failure")
    env = began(file, profile="published", reward="paper_turn", malformed="feedback")
    assert play(env, "<tool_call>{bad", FIRST)[0] == [-0.3, 1]
    assert play(env, "")[0] == [-0.5]


@pytest.mark.parametrize(
    ("parser", "text"),
    [
        ("tags", format_call(FIRST)),
        ("json", '{"name": "founder_of", "arguments": {"company": "Velmora"}}'),
        ("json", '[{"name": "founder_of", "arguments": "{\\"company\\": \\"Velmora\\"}"}]'),
        (
            "openai",
            json.dumps(
                {
                    "role": "assistant",
                    "tool_calls": [{"function": {"name": "founder_of", "arguments": '{"company": "Velmora"}'}}],
                }
            ),
        ),
    ],
)
def test_parsers(file, parser, text):
    assert play(began(file, profile="published", parser=parser), text)[1]["solved"] == ["n1"]


def test_calls_beyond_the_limit_are_refused_and_counted(file):
    info = play(began(file, "pair", max_calls_per_turn=1), [FIRST, OTHER])[1]
    assert [one.status for one in info["tool_results"]] == ["ok", "error"]
    assert (info["solved"], info["metrics"]["calls"]) == (["n1"], 2)


def test_the_measure_of_a_cut_off_episode_is_paid(file):
    env = began(file, reward="episode_f1", max_turns=1)
    assert play(env, FIRST)[0] == pytest.approx([2 / 3])
    assert play(began(file, reward="episode_f1", max_turns=1), "<tool_call>")[0] == [0]


def test_a_prefix_is_played_again(file):
    env = opened(instances=file)
    env.reset(options={"task": "chain"})
    steps = []
    for action in env.expert():
        observation, _, terminated, _, _ = env.step(action)
        steps.append(Step(observation, parse_message(action), terminated=terminated))
    trajectory = Trajectory("e", "palaestra/ToolForge-v0", {"key": "chain"}, steps=tuple(steps))
    task = env.tasks.with_prefix(trajectory, 1)
    assert task.key == "chain@1"
    observation, info = env.reset(options={"task": "chain@1"})
    assert info["task"]["key"] == "chain@1"
    assert "founder_of" in observation
    assert "Iska Tarn" in observation
    assert env._solved == {"n1": [0, 0]}
    snapshot = env.snapshot()
    assert play(env, SECOND, "1931")[1]["success"]
    other = pickle.loads(pickle.dumps(opened(instances=file)))
    other.restore(snapshot)
    assert play(other, SECOND, "1931")[1]["metrics"]["solve_f1"] == 1
    assert [action for action in env.expert()] == ["1931"]
    with pytest.raises(UsageError, match="expected 1 to 3"):
        env.tasks.with_prefix(trajectory, 4)
    with pytest.raises(UsageError, match="ended within its first 3"):
        env.tasks.with_prefix(trajectory, 3)


def test_messages_of_a_snapshot_row_are_shown_with_their_roles(file):
    calls = [{"id": "c", "type": "function", "function": {"name": "founder_of", "arguments": '{"company": "Velmora"}'}}]
    messages = [
        {"role": "user", "content": "Who?"},
        {"role": "assistant", "content": None, "tool_calls": calls},
        {"role": "tool", "content": "Iska Tarn", "tool_call_id": "c"},
    ]
    path = file.with_name("snapshot.jsonl")
    write_instances(path, [made(chain("row", messages=messages))])
    observation = opened(instances=path).reset(options={"task": "row"})[0]
    assert observation.startswith("User:\nWho?\n\nAssistant:\n<tool_call>")
    assert observation.endswith("Tool:\nIska Tarn")


def test_expert_with_noise_errs_and_gets_there():
    env = opened(preset="tiny", expert_noise=0.4, max_turns=60)
    tasks = env.tasks.split("train").first(25)
    failed = calls = 0
    for task in tasks:
        env.reset(options={"task": task})
        seen = [env.step(action)[4] for action in env.expert()]
        assert seen[-1]["success"]
        calls += seen[-1]["metrics"]["calls"]
        failed += seen[-1]["metrics"]["calls"] - len(env.instance.nodes)
    assert 0.2 < failed / calls < 0.6


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"profile": "loose"}, UnknownNameError, "profile"),
        ({"reward": "f1"}, UnknownNameError, "reward"),
        ({"scheme": "f2"}, UnknownNameError, "scheme"),
        ({"malformed": "ignore"}, UnknownNameError, "malformed"),
        ({"parser": "json"}, ConfigError, "goes with profile='published'"),
        ({"preset": "huge"}, UnknownNameError, "preset"),
        ({"preset": 3}, ConfigError, "preset is 3"),
        ({"scenario": "two_hop"}, UnknownNameError, "scenario"),
        ({"levels": {"function": 7}}, ConfigError, "levels"),
        ({"weights": {"success": 1}}, ConfigError, "goes with reward='mixed'"),
        ({"reward": "mixed", "weights": {}}, ConfigError, "weights is empty"),
        ({"reward": "mixed", "weights": {"success": "1"}}, ConfigError, "The weight of 'success'"),
        ({"reward": "mixed", "weights": {"mixed": 1}}, UnknownNameError, "weight"),
        ({"expert_noise": 1}, ConfigError, "expert_noise is 1"),
        ({"executor": "shell"}, UnknownNameError, "executor"),
        ({"tool_timeout_s": 0}, UsageError, "timeout_s"),
        ({"instances": "no/such/file.jsonl"}, MissingDataError, "There is no file"),
    ],
)
def test_wrong_arguments(arguments, error, message):
    with pytest.raises(error, match=message):
        ToolForgeEnv(**arguments)


def test_tasks_of_a_file_by_scenario_split_and_key(file):
    tasks = FileTasks(file, scenario="multi_hop")
    assert [task.key for task in tasks] == ["chain"]
    with pytest.raises(UnknownNameError):
        tasks.find("pair")
    with pytest.raises(IndexError):
        tasks.at("train", 1)
    with pytest.raises(ConfigError, match="no instance of the scenario"):
        FileTasks(file, scenario="single_hop")


def test_built_tasks_are_found_by_their_keys():
    env = gymnasium.make("palaestra/ToolForge-v0", preset="tiny").unwrapped
    task = env.tasks.at("test", 7)
    assert env.tasks.find(task.key) == task
    assert env.tasks.size("train") is None
    for key in (task.key.replace("-7", "-07"), task.key.replace("tiny", "easy"), "tiny-s0-test-500", "tiny-s0-dev-1", ""):
        with pytest.raises(UnknownNameError):
            env.tasks.find(key)
    assert task.key not in {one.key for one in opened(preset="tiny", builder_seed=1).tasks.split("test").first(20)}


def refilled(value, text):
    """Return a value with another text in place of every text."""
    if isinstance(value, dict):
        return {name: refilled(inner, text) for name, inner in value.items()}
    if isinstance(value, list):
        return [refilled(inner, text) for inner in value]
    return text if isinstance(value, str) else value


def echo_calls(instance):
    """Put each answer into the arguments of its call, as key and as value."""
    for node in instance.nodes:
        text = answer_text(node.answer)
        yield [ToolCall(node.tool, {**node.golden_args, "note": text}), ToolCall(node.tool, {text: 1})]
        if (echo := refilled(node.golden_args, text)) != node.golden_args:
            yield [ToolCall(node.tool, echo)]


def scattered_calls(env):
    """Call every tool with each quoted name of the question."""
    names = env.instance.question.split('"')[1::2]
    for tool in env.tools():
        schema = tool["function"]["parameters"]
        for name in names:
            arguments = {}
            for key in schema["required"]:
                kind = schema["properties"][key]
                arguments[key] = kind["enum"][0] if "enum" in kind else name
            yield [ToolCall(tool["function"]["name"], arguments)]


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_agents_that_know_nothing_get_nothing_and_the_expert_everything(scenario):
    env = opened(scenario=scenario, preset="easy", max_turns=None)
    random = []
    for task in env.tasks.split("test").first(6):
        env.reset(options={"task": task})
        question, answer = env.instance.question, answer_text(env.instance.final.answer)
        for calls in echo_calls(env.instance):
            assert play(env, calls)[1]["solved"] == []
        whole = [ToolCall(tool["function"]["name"], {"name": question}) for tool in env.tools()]
        assert play(env, whole)[1]["solved"] == []
        assert not play(env, answer)[1]["success"]
        env.reset(options={"task": task})
        for calls in scattered_calls(env):
            info = play(env, calls)[1]
        assert info["metrics"]["solve_f1"] <= 0.67
        assert not play(env, question)[1]["success"]
        env.reset(options={"task": task})
        info = [env.step(action)[4] for action in env.expert()][-1]
        assert info["success"]
        assert info["metrics"]["solve_f1"] == info["metrics"]["solve_ordered"] == 1
        env.action_space.seed(3)
        env.reset(options={"task": task})
        random.append(
            [env.step(env.action_space.sample())[4] for _ in range(8) if env._playing][-1]["metrics"]["solve_recall"]
        )
    assert sum(random) / len(random) <= 0.05
