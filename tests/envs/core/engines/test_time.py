"""How long engines may take: to start, to answer, to be idle."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest

from palaestra.errors import EnvironmentFault
from tests.envs.core.engines.machines import (
    LONG_S,
    SHORT_S,
    Machine,
    use,
    wait_for,
)


def test_an_engine_that_does_not_answer_in_time_is_killed(make_pool):
    pool = make_pool()
    lease = pool.lease(Machine, start_timeout_s=0.0)
    with (
        pytest.raises(EnvironmentFault, match=r"did not answer step\(\) within 0.05 s .*was killed. Call reset\(\)"),
        lease.use("step()", SHORT_S) as engine,
    ):
        engine.hang()
    assert (engine.end, lease.has_engine) == ("killed", False)
    with lease.use("reset()", LONG_S) as fresh:
        assert fresh is not engine
    lease.close()


def test_a_new_engine_has_time_to_start_and_the_clock_can_be_started_again(make_pool):
    pool = make_pool()
    lease = pool.lease(Machine, start_timeout_s=LONG_S)
    with lease.use("reset()", SHORT_S) as engine:
        time.sleep(3 * SHORT_S)
    with lease.use("step()", 1.0) as again:
        for _ in range(3):
            time.sleep(0.4)
            lease.restart_clock(1.0)
    assert use(lease) is again is engine
    lease.close()


@pytest.mark.parametrize("whose", ["its own", "another's"])
def test_only_a_new_engine_has_time_to_start(make_pool, whose):
    pool = make_pool()
    lease = pool.lease(Machine, start_timeout_s=LONG_S)
    use(lease)
    if whose == "another's":
        lease.release()
        lease = pool.lease(Machine, start_timeout_s=LONG_S)
    started = time.monotonic()
    with pytest.raises(EnvironmentFault, match=r"within 0.05 s"), lease.use("step()", SHORT_S) as engine:
        engine.hang()
    assert time.monotonic() - started < LONG_S / 2
    assert len(Machine.made) == 1


def test_an_engine_whose_call_ends_while_another_environment_waits_counts_as_quiet_from_then_on(make_pool):
    pool = make_pool(1, patience_s=SHORT_S, wait_s=LONG_S)
    busy, waiting = pool.lease(Machine), pool.lease(Machine)
    entered, leave = threading.Event(), threading.Event()

    def play() -> None:
        with busy.use("step()", LONG_S):
            entered.set()
            leave.wait(LONG_S)

    thread = threading.Thread(target=play)
    thread.start()
    entered.wait(LONG_S)
    threading.Timer(SHORT_S, leave.set).start()
    started = time.monotonic()
    assert use(waiting) is Machine.made[0]
    assert time.monotonic() - started < LONG_S / 2
    assert not busy.has_engine
    thread.join()
    waiting.close()


def test_whoever_waits_gets_an_engine_as_soon_as_it_is_released(make_pool):
    pool = make_pool(1, patience_s=4 * LONG_S, wait_s=4 * LONG_S)
    held, waiting = pool.lease(Machine), pool.lease(Machine)
    use(held)
    found: list[Any] = []
    thread = threading.Thread(target=lambda: found.append(use(waiting)))
    thread.start()
    wait_for(lambda: pool._changed._waiters)  # type: ignore[attr-defined]
    time.sleep(SHORT_S)
    held.release()
    thread.join(LONG_S)
    assert found == Machine.made
    waiting.close()


def test_the_idle_time_of_an_engine_begins_with_its_release_also_where_nothing_else_happens(make_pool):
    pool = make_pool(idle_s=SHORT_S)
    lease = pool.lease(Machine)
    engine = use(lease)
    pool._wake.put(None)  # it may have looked while the engine was busy, and would look again at the end of that call's time
    wait_for(lambda: pool._next_look == float("inf") and pool._wake.empty())  # the keeper waits without a limit
    time.sleep(SHORT_S)
    lease.release()
    wait_for(lambda: not engine.is_running)
