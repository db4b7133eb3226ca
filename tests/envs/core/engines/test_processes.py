"""Engines of a process: starts one at a time, limits from outside, forks."""

from __future__ import annotations

import itertools
import subprocess
import sys
import threading
import time

import pytest

from palaestra.envs.core import engines
from palaestra.envs.core.engines import EnginePool
from palaestra.errors import ConfigError
from tests.envs.core.engines.machines import (
    Machine,
    use,
)


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
    monkeypatch.setattr(engines, "_by_variable", {})
    monkeypatch.setenv(engines.VARIABLE, text)
    with pytest.raises(ConfigError, match=f"PALAESTRA_ENGINES is '{text}'"):
        engines.engine_pool()


def test_the_limit_of_a_process_comes_from_its_environment(monkeypatch):
    monkeypatch.setattr(engines, "_by_variable", {})
    monkeypatch.setenv(engines.VARIABLE, "3")
    assert engines.engine_pool().limit == 3
    assert engines.engine_pool() is engines.engine_pool()


FORK = """
import os, threading
from tests.envs.core.engines.machines import Machine, use
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
