"""Who gets an engine of a pool, how many there are, and who waits for whom."""

from __future__ import annotations

import logging
import random
import threading
import time
from dataclasses import dataclass, field

import pytest

from palaestra.errors import EnvironmentFault
from tests.envs.core.engines.machines import (
    LONG_S,
    SHORT_S,
    Machine,
    in_thread,
    running,
    use,
)


def test_an_engine_is_started_by_the_first_call_and_kept_for_the_next(make_pool):
    pool = make_pool()
    lease = pool.lease(Machine)
    assert (Machine.made, lease.is_behind, lease.has_engine) == ([], True, False)
    with lease.use("reset()", LONG_S) as first:
        assert lease.is_behind
    with lease.use("step()", LONG_S) as second:
        assert not lease.is_behind
    assert first is second
    lease.close()
    assert (first.end, pool.num_engines, lease.has_engine) == ("closed", 0, False)


def test_an_engine_belongs_to_one_environment_until_it_is_released(make_pool):
    pool = make_pool()
    first, second = pool.lease(Machine), pool.lease(Machine)
    with first.use("reset()", LONG_S) as one, second.use("reset()", LONG_S) as two:
        assert one is not two
    second.close()
    first.release()
    with first.use("render()", LONG_S) as again:
        assert again is one
        assert not first.is_behind  # nobody has had it since
    first.release()
    with second.use("reset()", LONG_S) as two:
        assert two is one
        assert second.is_behind
    assert (first.has_engine, first.is_behind) == (False, True)
    first.close()
    assert one.is_running  # it is the second's
    second.close()
    assert not one.is_running


def test_engines_that_are_started_otherwise_are_not_mixed_up(make_pool):
    @dataclass(frozen=True)
    class Start:
        size: int
        machines: list[Machine] = field(default_factory=list, compare=False)

        def __call__(self) -> Machine:
            return Machine()

    pool = make_pool(4)
    found = []
    leases = [pool.lease(Start(size)) for size in (1, 2, 1, 2)]  # kept: engines of leases that are thrown away end
    for lease in leases:
        with lease.use("reset()", LONG_S) as engine:
            found.append(engine)
        lease.release()
    assert found[0] is found[2]
    assert found[1] is found[3]
    assert found[0] is not found[1]


def test_at_the_limit_the_engine_that_was_least_recently_used_goes(make_pool):
    pool = make_pool(2)
    starts = [lambda: Machine() for _ in range(3)]  # three functions, so three kinds
    leases = [pool.lease(start) for start in starts]
    used = []
    for lease in (leases[0], leases[1], leases[0]):
        with lease.use("reset()", LONG_S) as engine:
            used.append(engine)
        lease.release()
    with leases[2].use("reset()", LONG_S) as third:
        assert used[1].end == "closed"
        assert used[0].is_running
        assert len(running()) == 2 == pool.num_engines
    assert third.is_running
    assert not leases[1].has_engine


def test_of_idle_engines_the_one_used_last_is_taken_and_the_others_may_go(make_pool):
    pool = make_pool(3)
    leases = [pool.lease(Machine) for _ in range(3)]
    used = [use(lease) for lease in leases]
    for number in (1, 2, 0):
        use(leases[number])
        leases[number].release()
    assert use(pool.lease(Machine)) is used[0]


def test_releasing_in_the_middle_of_a_call_gives_the_engine_to_nobody(make_pool):
    pool = make_pool(2)
    mine, other = pool.lease(Machine), pool.lease(Machine)
    with mine.use("step()", LONG_S) as engine:
        mine.release()
        mine.release()
        assert use(other) is not engine
    other.release()
    other.release()
    assert use(mine) is engine
    mine.close()
    assert use(pool.lease(Machine)) is not engine
    assert pool.num_engines == 1  # an engine that was released twice is there once


def test_engines_of_other_threads_are_waited_for_even_where_one_is_held_here(make_pool):
    pool = make_pool(2, patience_s=LONG_S, wait_s=SHORT_S)
    here, there = pool.lease(Machine), pool.lease(Machine)
    in_thread(lambda: use(there))
    use(here)
    with pytest.raises(EnvironmentFault, match="All 2 engines of this process are in use"):
        use(pool.lease(Machine))
    assert here.has_engine
    assert there.has_engine


def test_many_threads_never_have_more_engines_than_the_limit_and_never_share_one(make_pool):
    pool = make_pool(3, patience_s=LONG_S)
    problems = []

    def play(number: int) -> None:
        dice = random.Random(number)
        lease = pool.lease(Machine)
        for _ in range(15):
            for _ in range(dice.randint(1, 3)):
                try:
                    with lease.use("step()", LONG_S) as engine:
                        engine.users += 1
                        if engine.users != 1 or len(running()) > 3:
                            problems.append((engine.users, len(running())))
                        time.sleep(0.0005 * dice.random())
                        engine.users -= 1
                        if dice.random() < 0.1:
                            raise OSError("broken")
                except (OSError, EnvironmentFault):
                    break
            lease.release() if dice.random() < 0.8 else lease.close()
        lease.close()

    threads = [threading.Thread(target=play, args=(number,)) for number in range(9)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(2 * LONG_S)
    assert problems == []
    assert running() == []
    assert pool.num_engines == 0


def test_a_pool_with_every_engine_in_a_call_waits_then_says_what_to_do(make_pool):
    pool = make_pool(1, wait_s=SHORT_S)
    busy, waiting = pool.lease(Machine), pool.lease(Machine)
    entered, leave = threading.Event(), threading.Event()

    def play() -> None:
        with busy.use("step()", LONG_S):
            entered.set()
            leave.wait(LONG_S)
        busy.release()

    thread = threading.Thread(target=play)
    thread.start()
    entered.wait(LONG_S)
    with pytest.raises(EnvironmentFault, match=r"All 1 engines .* 0.05 s\. Allow more with PALAESTRA_ENGINES=2"):
        waiting.use("reset()", LONG_S).__enter__()
    pool.wait_s = LONG_S
    threading.Timer(SHORT_S, leave.set).start()
    with waiting.use("reset()", LONG_S) as engine:
        assert engine is Machine.made[0]
    thread.join()
    waiting.close()


def test_a_higher_limit_lets_a_waiting_environment_in(make_pool):
    pool = make_pool(1)
    leases = [pool.lease(Machine) for _ in range(2)]
    with leases[0].use("step()", LONG_S):
        threading.Timer(SHORT_S, pool.allow, (2,)).start()
        with leases[1].use("step()", LONG_S):
            assert pool.num_engines == 2
    pool.allow(1)
    assert pool.limit == 2


def test_an_engine_is_taken_from_an_episode_that_has_been_quiet_and_said_once(make_pool, caplog):
    pool = make_pool(1, patience_s=SHORT_S)
    quiet = pool.lease(Machine)
    in_thread(lambda: use(quiet))
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            other = pool.lease(Machine)
            started = time.monotonic()
            in_thread(lambda other=other: use(other))
            assert quiet.is_behind
            in_thread(lambda: use(quiet))
            assert other.is_behind
        assert time.monotonic() - started >= SHORT_S
    assert len(caplog.records) == 1
    assert "replays its actions" in caplog.text
    assert len(Machine.made) == 1  # one of the same kind need not be started again
    quiet.close()


def test_one_thread_with_more_episodes_than_engines_does_not_wait_for_itself(make_pool):
    pool = make_pool(2, patience_s=LONG_S, wait_s=LONG_S)
    leases = [pool.lease(Machine) for _ in range(5)]
    started = time.monotonic()
    for lease in leases * 2:
        use(lease)
    assert time.monotonic() - started < LONG_S / 2
    assert len(running()) == 2
