"""Simulators that die, hang, fill their memory or start side by side: one clear error each, and the next episode plays."""

import gc
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from palaestra.envs.agentgym.sciworld.engine import ScienceWorld, find_jar
from palaestra.envs.agentgym.sciworld.env import SciWorldEnv
from palaestra.envs.agentgym.sciworld.java import find_java
from palaestra.envs.core.engines import EnginePool
from palaestra.errors import EnvironmentFault
from tests.envs.processes import needs_proc, wait_for

TASK = {"task": "find-non-living-thing/3"}


def simulator(env: SciWorldEnv) -> ScienceWorld:
    engine: ScienceWorld = env._ask(lambda engine: engine)
    return engine


def plays(env: SciWorldEnv) -> None:
    observation, _ = env.reset(options=TASK)
    assert observation.startswith("Your task is to find")
    assert env.step("look around")[4]["action_error"] == ""


def test_a_simulator_that_is_killed_ends_the_episode_and_no_more(env: SciWorldEnv) -> None:
    plays(env)
    os.kill(simulator(env).pid, signal.SIGKILL)
    with pytest.raises(EnvironmentFault, match=r"died|ended|was killed"):
        env.step("look around")
    plays(env)


def test_a_simulator_that_is_killed_in_the_middle_of_a_call_is_an_error_of_it(env: SciWorldEnv) -> None:
    plays(env)

    def killed(engine: ScienceWorld) -> None:
        os.kill(engine.pid, signal.SIGKILL)
        engine.step("wait")

    with pytest.raises(EnvironmentFault, match=r"ended with exit code -9|died|was killed"):
        env._ask(killed)
    plays(env)


def test_a_simulator_that_hangs_is_killed(env: SciWorldEnv, monkeypatch: pytest.MonkeyPatch) -> None:
    plays(env)
    pid = simulator(env).pid
    os.kill(pid, signal.SIGSTOP)
    monkeypatch.setattr(env, "call_timeout_s", 0.2)
    with pytest.raises(EnvironmentFault, match="did not answer"):
        env.step("look around")
    monkeypatch.undo()
    plays(env)
    assert simulator(env).pid != pid


@dataclass(frozen=True)
class StartSmall:
    """Starts a simulator whose heap is too small."""

    def __call__(self) -> ScienceWorld:
        return ScienceWorld(find_java(), find_jar(), options=("-Xmx12m",))


def test_a_heap_that_is_full_is_said_so(make: Callable[..., SciWorldEnv]) -> None:
    env, pool = make(), EnginePool(1)
    env._lease = pool.lease(StartSmall())
    with pytest.raises(EnvironmentFault, match="needs more memory"):
        env.reset(options=TASK)
    pool.close()
    env._lease = None
    plays(env)


def test_a_variation_that_the_simulator_does_not_know_is_a_fault(env: SciWorldEnv) -> None:
    plays(env)
    with pytest.raises(EnvironmentFault, match=r"cannot load variation 99 of 'boil'.*exceeds"):
        env._ask(lambda engine: engine.load("boil", 99, ""))
    plays(env)


def test_a_child_after_a_fork_leaves_the_simulator_alone(env: SciWorldEnv) -> None:
    plays(env)
    child = os.fork()
    if child == 0:  # pragma: no cover (another process)
        gc.collect()
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert env.step("look around")[4]["action_error"] == ""


PROGRAM = """
import gymnasium, palaestra, sys
env = gymnasium.make("palaestra/SciWorld-v0")
observation, _ = env.reset(options={"task": "find-non-living-thing/3"})
print(env.unwrapped._ask(lambda engine: engine.pid), flush=True)
print(repr(observation + env.step("look around")[0]), flush=True)
sys.stdin.read()
"""


def is_running(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"  # ended, and waits for whoever has adopted it


@needs_proc
def test_processes_that_start_at_once_play_and_their_simulators_end_with_them(env: SciWorldEnv, tmp_path: Path) -> None:
    command = [sys.executable, "-W", "ignore", "-c", PROGRAM]
    pipe, paths = subprocess.PIPE, {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    both = [subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, cwd=tmp_path, env=paths) for _ in range(2)]
    try:
        pids = [int(one.stdout.readline()) for one in both]  # type: ignore[union-attr]
        assert len(set(pids)) == 2
        told = {one.stdout.readline() for one in both}  # type: ignore[union-attr]
        observation, _ = env.reset(options=TASK)
        assert told == {repr(observation + env.step("look around")[0]) + "\n"}
        assert all(map(is_running, pids))
        assert list(tmp_path.iterdir()) == []  # the simulator writes a table where it runs
    finally:
        for one in both:
            one.kill()  # as a process that runs out of memory is: nothing is tidied up
            one.communicate()
    wait_for(lambda: not any(map(is_running, pids)))


@needs_proc
def test_episodes_in_a_row_are_played_in_one_simulator_of_bounded_memory(env: SciWorldEnv) -> None:
    pids = set()
    for number, task in enumerate(env.tasks.split("test").first(8)):
        env.reset(seed=number, options={"task": task.key})
        pids.add(simulator(env).pid)
        env.action_space.seed(number)
        for _ in range(4):
            if env.step(env.action_space.sample())[2]:
                break
    assert len(pids) == 1
    status = Path(f"/proc/{pids.pop()}/status").read_text()
    assert int(status.split("VmHWM:")[1].split()[0]) < 700 * 1024  # kB; experiments/agentgym/sciworld plays 300
