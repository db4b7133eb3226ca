from __future__ import annotations

import threading
import time

import pytest

from palaestra.envs.core import engines
from palaestra.envs.core.engines import Engine, EnginePool
from palaestra.errors import EnvironmentFault, UsageError

LONG_S = 30.0


class Machine(Engine):
    def __init__(self) -> None:
        self.is_running = True
        self.was_killed = threading.Event()

    def is_alive(self) -> bool:
        return self.is_running

    def close(self) -> None:
        self.is_running = False

    def kill(self) -> None:
        self.is_running = False
        self.was_killed.set()


class Slow:
    """Starts a machine when it is allowed to."""

    def __init__(self) -> None:
        self.begun, self.may_end = threading.Event(), threading.Event()
        self.machines: list[Machine] = []

    def __call__(self) -> Machine:
        self.begun.set()
        assert self.may_end.wait(LONG_S)
        self.machines.append(Machine())
        return self.machines[-1]


@pytest.fixture
def pool():
    pool = EnginePool(4)
    yield pool
    pool.close()


def used(lease) -> bool:
    with lease.use("a call", LONG_S) as engine:
        return engine.is_alive()


def test_an_engine_that_never_starts_costs_its_time_and_is_killed_if_it_comes_later(pool):
    slow = Slow()
    with pytest.raises(EnvironmentFault, match=r"did not start within 0.05 s\. Call reset\(\)"):
        used(pool.lease(slow, start_timeout_s=0.05))
    assert pool.num_engines == 0
    slow.may_end.set()
    while not slow.machines:
        time.sleep(0.001)
    assert slow.machines[0].was_killed.wait(LONG_S)


def test_others_wait_for_a_start_no_longer_than_their_own_time_to_start(pool):
    slow = Slow()

    def hang() -> None:
        with pytest.raises(EnvironmentFault, match="killed while it started"):
            used(pool.lease(slow, start_timeout_s=LONG_S))

    hung = threading.Thread(target=hang)
    hung.start()
    assert slow.begun.wait(LONG_S)
    assert used(pool.lease(Machine, start_timeout_s=0.05))
    next(slot.holder() for slot in pool._slots if slot.state == "starting").kill()
    hung.join(LONG_S)
    assert not hung.is_alive()
    slow.may_end.set()


def test_an_environment_that_is_ended_just_as_its_engine_begins_to_start_waits_no_longer(pool, monkeypatch):
    slow, was_ended, faults = Slow(), threading.Event(), []

    class Begun(engines._Start):
        def __init__(self, launch) -> None:
            super().__init__(launch)
            assert was_ended.wait(LONG_S)  # until then, the pool does not have it

    def use() -> None:
        with pytest.raises(EnvironmentFault, match="killed while it started") as fault:
            used(lease)
        faults.append(fault)

    monkeypatch.setattr(engines, "_Start", Begun)
    lease = pool.lease(slow, start_timeout_s=LONG_S)
    user = threading.Thread(target=use)
    user.start()
    assert slow.begun.wait(LONG_S)
    lease.kill()
    was_ended.set()
    user.join(LONG_S / 3)
    assert len(faults) == 1
    slow.may_end.set()


@pytest.mark.parametrize("end", ["kill", "close"])
def test_an_environment_that_is_ended_while_its_engine_starts_waits_no_longer(pool, end):
    slow, faults = Slow(), []

    def use() -> None:
        with pytest.raises(EnvironmentFault, match="killed while it started") as fault:
            used(lease)
        faults.append(fault)

    lease = pool.lease(slow, start_timeout_s=LONG_S)
    user = threading.Thread(target=use)
    user.start()
    assert slow.begun.wait(LONG_S)
    getattr(lease, end)()
    user.join(LONG_S)
    assert len(faults) == 1
    assert pool.num_engines == 0
    slow.may_end.set()
    assert used(lease)  # the next call gets an engine of its own


def test_a_thread_bound_engine_is_started_in_the_thread_that_uses_it(pool):
    threads = []

    def launch() -> Machine:
        threads.append(threading.current_thread())
        return Machine()

    assert used(pool.lease(launch, thread_bound=True))
    assert threads == [threading.current_thread()]


@pytest.mark.parametrize("thread_bound", [False, True])
def test_what_is_not_an_engine_is_refused(pool, thread_bound):
    with pytest.raises(UsageError, match="returned None; expected an Engine"):
        used(pool.lease(lambda: None, thread_bound=thread_bound))
    assert pool.num_engines == 0


def test_the_error_of_a_start_is_told(pool):
    def launch() -> Machine:
        raise FileNotFoundError("no such program")

    with pytest.raises(EnvironmentFault, match="cannot be started: FileNotFoundError: no such program"):
        used(pool.lease(launch))
