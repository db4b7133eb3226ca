from __future__ import annotations

import contextlib
import gc
import itertools
import logging
import random
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from palaestra.envs.core import engines
from palaestra.envs.core.engines import Engine, EnginePool
from palaestra.errors import ConfigError, EnvironmentFault, ToolError, UsageError

SHORT_S = 0.05
LONG_S = 30.0


class Machine(Engine):
    """An engine in memory that notices what is done to it."""

    made: list[Machine] = []  # noqa: RUF012 (emptied by a fixture)

    def __init__(self) -> None:
        self.is_running = True
        self.end = ""
        self.users = 0
        self.threads: set[int] = set()
        self.was_killed = threading.Event()
        self.made.append(self)

    def is_alive(self) -> bool:
        return self.is_running

    def close(self) -> None:
        self.is_running, self.end = False, self.end or "closed"

    def kill(self) -> None:
        self.is_running, self.end = False, self.end or "killed"
        self.was_killed.set()

    def hang(self) -> None:
        assert self.was_killed.wait(LONG_S)
        raise OSError("broken pipe")


class HangsInClose(Machine):
    def close(self) -> None:
        assert self.was_killed.wait(LONG_S)


class RaisesInClose(Machine):
    def close(self) -> None:
        raise OSError("no such process")


@pytest.fixture(autouse=True)
def _no_machines() -> Iterator[None]:
    Machine.made.clear()
    yield
    Machine.made.clear()


@pytest.fixture
def make_pool() -> Iterator[Any]:
    pools = []

    def make(limit: int = 2, **options: Any) -> EnginePool:
        pools.append(EnginePool(limit, **options))
        return pools[-1]

    yield make
    for pool in pools:
        pool.close()
        wait_for(lambda pool=pool: pool._keeper is None)
        assert pool.num_engines == 0
    assert [machine for machine in Machine.made if machine.is_running] == []


def wait_for(condition: Any) -> None:
    give_up = time.monotonic() + LONG_S
    while not condition():
        assert time.monotonic() < give_up
        time.sleep(0.002)


def running() -> list[Machine]:
    return [machine for machine in Machine.made if machine.is_running]


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


def test_all_engines_are_killed_at_once_even_where_a_lock_is_held(make_pool):
    pools = [make_pool(2), make_pool(2)]
    leases = [pool.lease(Machine) for pool in pools for _ in range(2)]
    made = [use(lease) for lease in leases]
    leases[0].release()
    with pools[0]._lock:
        engines.kill_engines()
    assert [engine.end for engine in made] == ["killed"] * 4
    for lease in leases:
        lease.close()


def test_an_engine_that_was_late_by_a_hair_is_not_used_again(make_pool):
    pool = make_pool()
    lease = pool.lease(Machine, start_timeout_s=0.0)
    with lease.use("step()", SHORT_S) as engine:
        assert engine.was_killed.wait(LONG_S)
    assert not lease.has_engine
    with lease.use("step()", LONG_S):
        assert lease.is_behind
    lease.close()


@pytest.mark.parametrize(
    ("raised", "died", "wanted", "message"),
    [
        (OSError("broken pipe"), True, EnvironmentFault, r"died during step\(\) \(OSError: broken pipe\)"),
        (OSError("file not found"), False, OSError, "file not found"),
        (ToolError("the service is down"), True, ToolError, "the service is down"),
        (UsageError("no such task"), False, UsageError, "no such task"),
        (KeyboardInterrupt(), True, KeyboardInterrupt, "^$"),
    ],
)
def test_after_any_exception_the_engine_is_gone(make_pool, raised, died, wanted, message):
    pool = make_pool()
    lease = pool.lease(Machine)

    def call() -> None:
        with lease.use("step()", LONG_S) as engine:
            engine.is_running = not died
            raise raised

    with pytest.raises(wanted, match=message):
        call()
    assert Machine.made[0].was_killed.is_set()
    assert (lease.has_engine, pool.num_engines) == (False, 0)


def test_an_engine_that_died_between_two_calls_is_told_once(make_pool):
    pool = make_pool()
    lease = pool.lease(Machine)
    use(lease).is_running = False
    with pytest.raises(EnvironmentFault, match="died between two calls"):
        use(lease)
    assert use(lease).is_running
    lease.release()
    Machine.made[-1].is_running = False  # between two episodes it is replaced without a word
    assert use(lease).is_running
    lease.release()
    Machine.made[-1].is_running = False
    other = pool.lease(Machine)
    assert use(other).is_running
    assert pool.num_engines == 1
    other.close()


def test_an_engine_that_cannot_be_started_leaves_its_place_free(make_pool):
    pool = make_pool(1)

    def missing() -> Machine:
        raise FileNotFoundError("no such program: 'java'")

    with pytest.raises(EnvironmentFault, match="cannot be started: FileNotFoundError: no such program: 'java'"):
        use(pool.lease(missing))
    assert pool.num_engines == 0
    with pytest.raises(UsageError, match="no licence"):
        use(pool.lease(lambda: (_ for _ in ()).throw(UsageError("no licence"))))
    use(lease := pool.lease(Machine))
    lease.close()


def test_two_environments_on_one_engine_are_refused(make_pool):
    pool = make_pool()
    shared = Machine()
    first, second = pool.lease(lambda: shared), pool.lease(lambda: shared)
    use(first)
    with pytest.raises(UsageError, match="returned an engine that is in use"):
        use(second)
    assert use(first) is shared
    first.close()


def test_two_calls_at_once_are_refused(make_pool):
    lease = make_pool().lease(Machine)
    with lease.use("step()", LONG_S) as engine:
        for ask in (lambda: use(lease), lambda: in_thread(lambda: use(lease))):
            with pytest.raises(UsageError, match="in the middle of another call"):
                ask()
        assert engine.is_running
    lease.close()


def test_a_thread_bound_engine_stays_in_its_thread(make_pool):
    pool = make_pool(3)
    mine = pool.lease(Machine, thread_bound=True)
    engine = use(mine)
    with pytest.raises(UsageError, match="thread_bound"):
        in_thread(lambda: use(mine))
    mine.release()
    other = pool.lease(Machine, thread_bound=True)
    assert in_thread(lambda: use(other)) is not engine
    wait_for(lambda: len(running()) == 1)  # its thread is over, so that nobody may use it again
    use(mine)
    in_thread(mine.close)
    assert engine.end == "killed"  # closed in another thread than its own


@pytest.mark.parametrize("kind", [HangsInClose, RaisesInClose])
def test_an_engine_that_fails_in_close_is_killed(make_pool, monkeypatch, kind):
    monkeypatch.setattr(engines, "CLOSE_S", SHORT_S)
    pool = make_pool()
    lease = pool.lease(kind)
    engine = use(lease)
    started = time.monotonic()
    lease.close()
    assert (engine.end, pool.num_engines) == ("killed", 0)
    assert time.monotonic() - started < LONG_S / 2


def test_an_engine_counts_until_it_is_gone(make_pool):
    class TakesItsTime(Machine):
        def close(self) -> None:
            time.sleep(4 * SHORT_S)
            super().close()

    def start() -> Machine:
        assert running() == []
        return Machine()

    pool = make_pool(1)
    first, second = pool.lease(TakesItsTime), pool.lease(start)
    use(first)
    first.release()
    closing = threading.Thread(target=use, args=(second,))
    closing.start()
    time.sleep(SHORT_S)
    third = pool.lease(start)
    third_thread = threading.Thread(target=lambda: (use(third), third.release()))
    third_thread.start()
    closing.join()
    second.release()
    third_thread.join()
    assert pool.num_engines == 1


def test_engines_of_environments_that_were_thrown_away_go_first(make_pool, caplog):
    pool = make_pool(2)
    with caplog.at_level(logging.WARNING):
        kept = pool.lease(Machine)
        engine = use(kept)
        for _ in range(5):
            use(pool.lease(lambda: Machine()))  # each of another kind, and nobody holds the right to it
        assert use(kept) is engine
    assert caplog.text == ""
    kept.close()


def test_idle_engines_end_after_a_while_and_held_ones_do_not(make_pool):
    pool = make_pool(idle_s=SHORT_S)
    idle, held = pool.lease(Machine), pool.lease(Machine)
    engines_used = [use(lease) for lease in (idle, held)]
    idle.release()
    wait_for(lambda: not engines_used[0].is_running)
    time.sleep(SHORT_S)
    assert engines_used[1].is_running
    assert not idle.has_engine
    held.close()


def test_an_environment_that_is_thrown_away_takes_its_engine_along(make_pool):
    pool = make_pool()
    engine = use(pool.lease(Machine))
    gc.collect()
    wait_for(lambda: not engine.is_running)
    wait_for(lambda: pool.num_engines == 0)


def test_killing_from_another_thread_frees_a_call_that_hangs(make_pool):
    pool = make_pool()
    for end in ("kill", "close"):
        lease = pool.lease(Machine)
        threading.Timer(SHORT_S, getattr(lease, end)).start()
        with pytest.raises(EnvironmentFault, match=r"was killed during step\(\)"), lease.use("step()", LONG_S) as engine:
            engine.hang()
        assert pool.num_engines == 0


def test_closing_the_pool_ends_everything_and_the_next_call_begins_again(make_pool):
    pool = make_pool()
    lease = pool.lease(Machine)

    def call() -> None:
        with lease.use("step()", LONG_S) as engine:
            pool.close()
            engine.hang()

    with pytest.raises(EnvironmentFault, match="died during"):
        call()
    use(lease)
    pool.close()
    assert running() == []
    with lease.use("step()", LONG_S):
        assert lease.is_behind


def test_a_pool_that_is_closed_while_an_engine_starts_has_none(make_pool):
    pool = make_pool()

    def start() -> Machine:
        pool.close()
        return Machine()

    with pytest.raises(EnvironmentFault, match="closed while an engine started"):
        use(pool.lease(start))
    assert running() == []


def test_engines_are_started_one_at_a_time(make_pool):
    at_once = itertools.count()
    most = []

    def start() -> Machine:
        nonlocal at_once
        most.append(next(at_once))
        time.sleep(0.01)
        at_once = itertools.count()
        return Machine()

    pool = make_pool(4)
    leases = [pool.lease(start) for _ in range(4)]
    threads = [threading.Thread(target=use, args=(lease,)) for lease in leases]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [0, 0, 0, 0]


@pytest.mark.parametrize("limit", [0, -1, 1.5, "8"])
def test_an_impossible_limit_is_refused(limit):
    with pytest.raises(ConfigError, match="limit of engines"):
        EnginePool(limit)


@pytest.mark.parametrize("text", ["0", "many", "-3", ""])
def test_an_impossible_number_in_the_environment_is_refused(monkeypatch, text):
    monkeypatch.setattr(engines, "_pool", None)
    monkeypatch.setenv(engines.VARIABLE, text)
    with pytest.raises(ConfigError, match=f"PALAESTRA_ENGINES is '{text}'"):
        engines.engine_pool()


def test_the_limit_of_a_process_comes_from_its_environment(monkeypatch):
    monkeypatch.setattr(engines, "_pool", None)
    monkeypatch.setenv(engines.VARIABLE, "3")
    assert engines.engine_pool().limit == 3
    assert engines.engine_pool() is engines.engine_pool()


FORK = """
import os, threading
from tests.envs.core.test_engines import Machine, use
from palaestra.envs.core.engines import EnginePool

class Forgetful(Machine):
    forgotten = False
    def forget(self):
        self.forgotten = True

pool = EnginePool(1)
lease = pool.lease(Forgetful)
engine = use(lease)
pool._lock.acquire()                     # another thread is in the middle of something ...
threading.Timer(0.2, pool._lock.release).start()
pid = os.fork()                          # ... so the fork waits for it
if pid == 0:
    assert engine.forgotten and engine.is_running and not engine.was_killed.is_set()
    assert not lease.has_engine and lease.is_behind and pool.num_engines == 0
    with lease.use("step()", 30.0) as other:
        assert lease.is_behind and other is not engine
    lease.close()
    assert engine.is_running
    print("child", flush=True)
    os._exit(0)
assert os.waitpid(pid, 0)[1] == 0
assert not engine.forgotten and use(lease) is engine
print("parent")
"""


@pytest.mark.skipif(not hasattr(engines.os, "fork"), reason="this platform has no fork")
def test_after_a_fork_the_child_leaves_the_engines_alone_and_has_its_own():
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", FORK], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.stdout.split(), done.returncode) == (["child", "parent"], 0), done.stderr


def use(lease: Any) -> Any:
    with lease.use("a call", LONG_S) as engine:
        return engine


def in_thread(function: Any) -> Any:
    """Run a function in another thread; return what it returns, raise what it raises."""
    found: list[Any] = []

    def run() -> None:
        try:
            found.append(function())
        except BaseException as error:
            found.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join(LONG_S)
    with contextlib.suppress(IndexError):
        if isinstance(found[0], BaseException):
            raise found[0]
        return found[0]
    raise AssertionError("the thread hangs")
