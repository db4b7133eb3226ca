from __future__ import annotations

import contextlib
import copy
import gc
import json
import os
import pickle
import random
import shutil
import signal
import subprocess
import sys
import time
from typing import Any

import gymnasium
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from palaestra.agents import EpisodePlan, ExpertAgent, RolloutEngine
from palaestra.envs import ChildProcess, FixedTasks, Task, Turn, check_environment
from palaestra.envs.core.engine_env import EngineEnv
from palaestra.envs.core.engines import VARIABLE, EnginePool, engine_pool
from palaestra.envs.core.snapshots import seal
from palaestra.errors import EnvironmentFault, EpisodeStateError, UsageError
from palaestra.types import Message, plain
from tests.envs.lift import LIFT_ID, MUTE_LIFT_ID, LiftEnv, MuteLiftEnv, register_lifts
from tests.envs.processes import children, counts, is_running, needs_proc, nothing_new, wait_for

register_lifts()


@pytest.fixture(autouse=True)
def _nothing_is_left():
    if sys.platform != "linux":
        yield
        return
    gc.collect()
    engine_pool().close()
    wait_for(lambda: engine_pool()._keeper is None)
    before = counts()
    yield
    gc.collect()  # environments of a test that were not closed
    wait_for(lambda: nothing_new(before))


@pytest.fixture
def lift():
    env = LiftEnv()
    yield env
    env.close()


def engine_of(env: EngineEnv[ChildProcess]) -> ChildProcess:
    assert env._lease is not None
    with env._lease.use("a look", 30.0) as engine:
        return engine


@pytest.mark.parametrize("env_id", [LIFT_ID, MUTE_LIFT_ID])
def test_an_environment_on_an_engine_keeps_the_contract(env_id):
    report = check_environment(env_id)
    assert report.ok, str(report)


@needs_proc
def test_making_and_looking_at_an_environment_starts_no_engine():
    before = children()
    env = gymnasium.make(LIFT_ID)
    env.action_space.sample()
    assert (env.unwrapped.instructions(), env.unwrapped.tools(), env.unwrapped.tasks.size("train")) != ("", None, 0)
    copy.deepcopy(env)
    vector = gymnasium.make_vec(LIFT_ID, num_envs=3)
    for opened in (env, vector):
        opened.close()
    assert children() == before


@needs_proc
def test_an_environment_that_was_closed_has_no_engine(lift):
    before = children()
    lift.reset(seed=0)
    assert len(children()) == len(before) + 1
    lift.close()
    assert children() == before
    lift.close()
    lift.reset(seed=0)  # begins again
    assert len(children()) == len(before) + 1


def test_episodes_follow_each_other_in_one_engine_also_of_several_environments(lift):
    pids = set()
    other = LiftEnv()
    for seed in range(3):
        for env in (lift, other):
            env.reset(seed=seed)
            pids.add(engine_of(env).pid)
            for action in env.expert():
                env.step(action)
    other.close()
    assert len(pids) == 1


actions = st.lists(st.sampled_from(["up", "down", "Up ", "open", "jump", "", Message("assistant", "up")]), max_size=8)
moves = st.lists(
    st.one_of(
        actions.map(lambda some: ("play", some)),
        st.sampled_from(["restore", "restore elsewhere", "pickle", "copy", "lose"]).map(lambda name: (name, None)),
    ),
    max_size=6,
)


@pytest.mark.parametrize("kind", [LiftEnv, MuteLiftEnv])
@settings(max_examples=15)
@given(seed=st.integers(0, 20), moves=moves)
def test_whatever_happens_to_the_engine_the_future_is_the_same(kind, seed, moves):
    undisturbed, env = kind(), kind()
    opened = [undisturbed, env]
    assert env.reset(seed=seed) == undisturbed.reset(seed=seed)
    for name, some in moves:
        match name:
            case "play":
                for action in some:
                    if undisturbed._playing:
                        before = env.state_hash()
                        found = env.step(action)
                        assert plain(found) == plain(undisturbed.step(action))
                        assert not found[-1]["action_error"] or env.state_hash() == before
            case "restore":
                env.restore(env.snapshot())
            case "restore elsewhere":
                snapshot, env = env.snapshot(), kind()
                env.reset(seed=seed + 1)
                env.restore(snapshot)
            case "pickle":
                env = pickle.loads(pickle.dumps(env))
            case "copy":
                env = copy.deepcopy(env)
            case "lose":  # another episode takes the engine away
                engine_pool().close()
                env._lease and setattr(env._lease, "is_behind", True)
        opened.append(env)
        assert (env.state_hash(), env.snapshot()) == (undisturbed.state_hash(), undisturbed.snapshot())
    assert env.reset() == undisturbed.reset()
    for each in opened:
        each.close()


def test_refused_actions_are_not_among_those_that_are_played_again(lift):
    lift.reset(seed=0, options={"task": "train/1"})
    for action in ("up", "jump", "up", "\ud800", Message("assistant", "sideways"), Message("assistant", "down")):
        lift.step(action)
    saved = json.loads(lift.snapshot())
    assert saved["world"]["actions"] == ["up", "up", {"role": "assistant", "content": "down"}]
    assert saved["num_turns"] == 6


def test_equal_states_have_equal_digests_where_the_engine_can_say_its_state():
    digests: dict[type, list[str]] = {LiftEnv: [], MuteLiftEnv: []}
    for kind, found in digests.items():
        for way in ([], ["open", "open"]):
            env = kind()
            env.reset(seed=3, options={"task": "train/2"})
            for action in way:
                env.step(action)
            found.append(env.state_hash())
            env.close()
    assert digests[LiftEnv][0] == digests[LiftEnv][1]
    assert digests[MuteLiftEnv][0] != digests[MuteLiftEnv][1]


@needs_proc
@pytest.mark.parametrize("word", ["die", "hang"])
def test_an_engine_that_fails_in_a_step_costs_the_episode_and_the_next_one_has_a_fresh_engine(word, monkeypatch):
    monkeypatch.setattr(LiftEnv, "call_timeout_s", 0.5)
    before = children()
    env = LiftEnv(words={"down": word})
    env.reset(seed=0)
    first = engine_of(env).pid
    env.step("up")
    wanted = "exit code 7. It said: the rope broke" if word == "die" else r"did not answer step\(\) within 0.5 s"
    with pytest.raises(EnvironmentFault, match=wanted):
        env.step("down")
    assert children() == before
    with pytest.raises(EpisodeStateError, match="over"):
        env.step("up")
    observation, _ = env.reset(seed=0)
    assert observation.startswith("floor")
    assert engine_of(env).pid != first
    assert not env.step("up")[-1]["action_error"]
    env.close()


class DiesWhenAsked(LiftEnv):
    def _dump(self, engine):
        os.kill(engine.pid, signal.SIGKILL)
        engine.close()
        raise ValueError("gone")

    def _send(self, engine, action):
        self._dump(engine)


@needs_proc
@pytest.mark.parametrize(("call", "ask"), [("state_hash", LiftEnv.state_hash), ("step", lambda env: env.step("up"))])
def test_a_fault_names_the_call_in_which_the_engine_died(call, ask):
    env = DiesWhenAsked()
    env.reset(seed=0)
    with pytest.raises(EnvironmentFault, match=rf"The engine died during {call}\(\) \(ValueError: gone\)"):
        ask(env)
    env.close()


def test_after_a_fault_an_earlier_snapshot_goes_on(lift):
    lift.reset(seed=0)
    lift.step("up")
    snapshot, digest = lift.snapshot(), lift.state_hash()
    os.kill(engine_of(lift).pid, signal.SIGKILL)
    with pytest.raises(EnvironmentFault):
        lift.step("up")
    lift.restore(snapshot)
    assert lift.state_hash() == digest
    assert lift.step("up")[0].startswith("floor")


class FailsInReset(LiftEnv):
    problem: Any = None

    def _start(self, engine, task, seed):
        if self.problem is not None:
            raise self.problem
        return super()._start(engine, task, seed)


@needs_proc
@pytest.mark.parametrize(
    "problem", [RuntimeError("bad level"), EnvironmentFault("no level"), UsageError("x"), KeyboardInterrupt()]
)
def test_after_an_exception_in_reset_the_engine_is_gone(problem):
    before = children()
    env = FailsInReset()
    env.reset(seed=0)
    env.step("up")
    env.problem = problem
    with pytest.raises(type(problem)):
        env.reset(seed=1)
    assert children() == before
    with pytest.raises(EpisodeStateError):
        env.step("up")
    env.problem = None
    env.reset(seed=1)
    env.close()
    assert children() == before


class DiesInReset(LiftEnv):
    """Its engine dies while it loads a task with an odd seed of the episode."""

    num_deaths = 0

    def _start(self, engine, task, seed):
        if seed % 2:
            self.num_deaths += 1
            self._tell(engine, "die")
        return super()._start(engine, task, seed)


@needs_proc
def test_an_engine_that_dies_in_reset_costs_that_episode_and_leaves_nothing():
    before = children()
    env = DiesInReset()
    for seed in range(12):
        known = env.num_deaths
        with contextlib.suppress(EnvironmentFault):
            env.reset(seed=seed)
        assert env.num_deaths <= known + 1  # it is not tried again
        if env.num_deaths == known:
            assert not env.step("up")[-1]["action_error"]
            assert len(children()) == len(before) + 1
        else:
            assert children() == before
            with pytest.raises(EpisodeStateError):
                env.step("up")
    assert 0 < env.num_deaths < 12
    env.close()
    assert children() == before


@needs_proc
def test_a_look_at_an_episode_that_is_over_keeps_the_engine_from_nobody():
    env, other = LiftEnv(), LiftEnv()
    env.reset(seed=0)
    pid = engine_of(env).pid
    for action in env.expert():
        env.step(action)
    env.state_hash()
    before = len(children())
    other.reset(seed=0)
    assert engine_of(other).pid == pid
    assert len(children()) == before
    env.close()
    other.close()


def test_the_chance_of_an_episode_follows_from_its_seed(lift):
    def episode(seed):
        return [lift.reset(seed=seed, options={"task": "train/3"})[0], *(lift.step("up")[0] for _ in range(6))]

    found = [episode(seed) for seed in range(8)]
    assert found == [episode(seed) for seed in range(8)]
    assert len({tuple(texts) for texts in found}) > 2


def test_equal_states_of_two_tasks_have_two_digests():
    class Silent(LiftEnv):
        def _dump(self, engine):
            return "somewhere"

    env = Silent()
    digests = []
    for key in ("train/1", "train/2", "train/1"):
        env.reset(seed=0, options={"task": key})
        digests.append(env.state_hash())
    assert digests[0] == digests[2] != digests[1]
    env.close()


def test_every_action_that_is_played_again_has_its_own_time(monkeypatch):
    monkeypatch.setattr(LiftEnv, "call_timeout_s", 0.8)
    env = LiftEnv(step_s=0.2)
    env.reset(seed=0, options={"task": "train/4"})
    for _ in range(6):  # 1.2 s together
        env.step("up")
    digest = env.state_hash()
    env.restore(env.snapshot())
    assert env.state_hash() == digest
    env.close()


@needs_proc
def test_an_engine_that_is_dead_already_is_closed_like_any_other():
    before = children()
    env = LiftEnv()
    env.reset(seed=0)
    os.kill(engine_of(env).pid, signal.SIGKILL)
    env.close()
    env.close()
    assert children() == before
    env.reset(seed=0)
    assert len(children()) == len(before) + 1
    env.close()


@needs_proc
def test_an_engine_that_ignores_the_end_is_killed_by_close(monkeypatch):
    monkeypatch.setattr("palaestra.envs.core.child_process.GRACE_S", 0.2)
    env = LiftEnv()
    env.reset(seed=0)
    os.kill(engine_of(env).pid, signal.SIGSTOP)
    before = len(children())
    env.close()
    assert len(children()) == before - 1


def test_a_killed_engine_costs_exactly_one_episode(monkeypatch):
    dice = random.Random(5)
    victims = set(dice.sample(range(40), 9))

    class Killer(ExpertAgent):
        """An expert that pulls the plug in some episodes, after a few turns."""

        def reset(self, info, *, env=None, session=""):
            super().reset(info, env=env, session=session)
            self.env, self.turn, self.session = env, 0, session

        async def aact(self, observation, info):
            self.turn += 1
            if int(self.session) in victims and self.turn == 2:
                os.kill(engine_of(self.env.unwrapped).pid, signal.SIGKILL)
            return await super().aact(observation, info)

    plans = [EpisodePlan(str(i), LIFT_ID, task_key=f"train/{i % 5}", seed=i) for i in range(40)]
    for options in ({"env_workers": 4, "worker_kind": "thread"}, {}):
        played = RolloutEngine(8, **options).collect(plans, Killer())
        failed = {int(trajectory.episode_id) for trajectory in played if trajectory.outcome.error is not None}
        assert failed == victims
        for trajectory in played:
            if trajectory.outcome.error is None:
                assert trajectory.outcome.success
            else:
                assert trajectory.outcome.error.boundary == "environment"
                assert trajectory.outcome.error.type == "EnvironmentFault"


@needs_proc
def test_the_engine_dies_at_random_between_episodes_and_the_contract_holds(monkeypatch):
    dice, killed = random.Random(0), []
    begin = LiftEnv._begin

    def begin_after_a_death(self, task):
        if self._lease is not None and self._lease.has_engine and dice.random() < 0.3:
            killed.append(engine_of(self).pid)
            os.kill(killed[-1], signal.SIGKILL)
            wait_for(lambda: not is_running(killed[-1]))
        return begin(self, task)

    monkeypatch.setattr(LiftEnv, "_begin", begin_after_a_death)
    report = check_environment(LIFT_ID)
    assert report.ok, str(report)
    assert len(killed) > 10


class EchoEnv(EngineEnv[ChildProcess]):
    """Repeats what it is told: as light as an engine can be."""

    def __init__(self) -> None:
        super().__init__(FixedTasks([Task("only", "train")]), start_echo)

    def _start(self, engine, task, seed):
        return engine.ask("hello")

    def _send(self, engine, action):
        return Turn(engine.ask(str(action)))


def start_echo() -> ChildProcess:
    return ChildProcess([shutil.which("cat")])


@needs_proc
@pytest.mark.skipif(shutil.which("cat") is None, reason="there is no program cat")
def test_a_thousand_environments_leave_no_process_no_file_and_no_thread():
    before = counts()
    pids = set()
    for number in range(1000):
        env = EchoEnv()
        env.reset(seed=number)
        pids.add(engine_of(env).pid)
        assert env.step("one")[0] == "one"
        env.close()
        assert len(children()) == before[0]
    assert len(pids) == 1000
    wait_for(lambda: nothing_new(before))


@needs_proc
def test_environments_that_are_thrown_away_leave_nothing_either():
    before = counts()
    for number in range(20):
        EchoEnv().reset(seed=number)
    gc.collect()
    wait_for(lambda: nothing_new(before))


EXITS = """
import os, sys
import multiprocessing
from tests.envs.lift import LiftEnv
from tests.envs.core.test_engine_env import engine_of

def play(how, deaf):
    env = LiftEnv()
    env.reset(seed=0)
    pid = engine_of(env).pid
    print(pid, flush=True)
    if deaf:                                # does not notice that its standard input ends
        engine_of(env)._write(b'["hang"]\\n')
    if how == "raise":
        raise SystemExit(3)
    play.kept = env                         # never closed

if __name__ == "__main__":
    how, deaf = sys.argv[1], sys.argv[2] == "deaf"
    if how == "fork after":                 # a process that has seen to the end of engines of its own
        first = LiftEnv()
        first.reset(seed=0)
        first.close()
    if how in ("spawn", "fork", "fork after"):
        child = multiprocessing.get_context(how.split()[0]).Process(target=play, args=(how, deaf))
        child.start()
        child.join()
    else:
        play(how, deaf)
"""


@needs_proc
@pytest.mark.parametrize("how", ["end", "raise", "spawn", "fork", "fork after"])
@pytest.mark.parametrize("ears", ["deaf", "hearing"])
def test_no_engine_survives_its_process(tmp_path, how, ears):
    file = tmp_path / "exits.py"
    file.write_text(EXITS)
    done = subprocess.run(
        [sys.executable, "-W", "ignore", str(file), how, ears],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stdout.strip(), done.stderr
    wait_for(lambda: not is_running(int(done.stdout)))


@pytest.mark.parametrize("mode", ["sync", "async"])
def test_vector_environments_have_an_engine_each_also_across_a_fork(mode, lift):
    lift.reset(seed=0)  # the children that follow must leave this engine alone
    options = {"vector_kwargs": {"shared_memory": False}} if mode == "async" else {}
    vector = gymnasium.make_vec(LIFT_ID, num_envs=2, vectorization_mode=mode, **options)
    single = gymnasium.make(LIFT_ID)
    observations, _ = vector.reset(seed=7)
    assert observations == tuple(single.reset(seed=7 + i)[0] for i in range(2))
    assert len(vector.step(("up", "up"))[0]) == 2
    vector.close()
    single.close()
    assert lift.step("up")[0].startswith("floor")


@needs_proc
def test_more_environments_than_engines_play_the_same_episodes_in_one_thread(monkeypatch):
    monkeypatch.setattr("palaestra.envs.core.engines._by_variable", {VARIABLE: EnginePool(2)})
    few, many = [LiftEnv() for _ in range(5)], [LiftEnv() for _ in range(5)]
    found: dict[int, list[Any]] = {0: [], 1: []}
    for place, envs in enumerate((few, many)):
        if place:
            monkeypatch.setattr("palaestra.envs.core.engines._by_variable", {VARIABLE: EnginePool(5)})
        before = len(children())
        found[place].append([env.reset(seed=seed) for seed, env in enumerate(envs)])
        for action in ("up", "down", "up", "open"):
            found[place].append([plain(env.step(action)) for env in envs])
            assert len(children()) - before <= (2, 5)[place]
        for env in envs:
            env.close()
    assert found[0] == found[1]


class Forgetful(LiftEnv):
    """Draws from the generator of the environment in a step: the episode does not follow from seed and actions."""

    def _send(self, engine, action):
        turn = super()._send(engine, action)
        turn.observation += f", light {self.np_random.integers(1000)}"
        return turn


class Moody(LiftEnv):
    """Refuses in a replay what it accepted before."""

    moods = 0

    def _send(self, engine, action):
        self.moods += 1
        return Turn("no", action_error="I do not feel like it.") if self.moods > 2 else super()._send(engine, action)


def test_a_replay_that_goes_another_way_is_a_fault(monkeypatch):
    for kind, message in ((Forgetful, "answers in other words"), (Moody, "Action 1 of 2 was accepted, and is refused")):
        env = kind()
        env.reset(seed=0)
        env.step("up")
        env.step("up")
        with pytest.raises(EnvironmentFault, match=message):
            env.restore(env.snapshot())
        env.close()
    monkeypatch.setattr(Forgetful, "replays_exactly", False)
    env = Forgetful()
    env.reset(seed=0)
    env.step("up")
    env.restore(env.snapshot())
    env.close()


def test_what_cannot_start_an_engine_is_refused():
    class Method(LiftEnv):
        def __init__(self) -> None:
            EngineEnv.__init__(self, FixedTasks([Task("only", "train")]), self.start)

        def start(self) -> ChildProcess:
            raise AssertionError("never called")

    class Nothing(LiftEnv):
        def __init__(self) -> None:
            EngineEnv.__init__(self, FixedTasks([Task("only", "train")]), "java")  # type: ignore[arg-type]

    for kind in (Method, Nothing):
        with pytest.raises(UsageError, match="expected a function that does not hold the environment"):
            kind()


@pytest.mark.parametrize("world", [None, [], {}, {"seed": 1}, {"seed": "x", "actions": []}, {"seed": 1, "actions": 3}])
def test_a_snapshot_without_seed_and_actions_is_refused_and_nothing_changes(lift, world):
    lift.reset(seed=0)
    lift.step("up")
    before = lift.snapshot()
    broken = {**json.loads(before), "world": world}
    with pytest.raises(EpisodeStateError, match="has no seed and actions"):
        lift.restore(seal(broken))
    assert lift.snapshot() == before


def test_asking_before_reset_is_refused(lift):
    for ask in (lift.state_hash, lift.snapshot, lambda: lift._ask(lambda engine: None)):
        with pytest.raises(EpisodeStateError, match=r"before reset\(\)"):
            ask()


def test_a_step_that_hangs_is_freed_by_killing_its_engine():
    import threading

    env = LiftEnv(words={"down": "hang"})
    env.reset(seed=0)
    threading.Timer(0.2, env.kill).start()
    started = time.monotonic()
    with pytest.raises(EnvironmentFault, match=r"was killed"):
        env.step("down")
    assert time.monotonic() - started < 20
    env.close()
