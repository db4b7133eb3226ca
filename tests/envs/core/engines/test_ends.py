"""How engines end: killed, dead, closed, thrown away, and what is told then."""

from __future__ import annotations

import gc
import logging
import threading
import time

import pytest

from palaestra.envs.core import engines
from palaestra.errors import EnvironmentFault, ToolError, UsageError
from tests.envs.core.engines.machines import (
    LONG_S,
    SHORT_S,
    HangsInClose,
    Machine,
    RaisesInClose,
    in_thread,
    running,
    use,
    wait_for,
)


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
