"""What is left when programs, threads and processes end."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from palaestra.envs.sandbox import Sandbox, process
from palaestra.envs.sandbox.keeper import Keeper
from tests.envs.sandbox.hostile_list import descendants

SOURCE = "import json\nTABLE = {}\ndef f(a):\n    TABLE[a] = [a] * 10\n    return TABLE\n"


def resident_kb():
    """Return the memory of this process."""
    return int(
        next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmRSS")).split()[1]
    )


def test_many_programs_leave_memory_descriptors_and_processes_where_they_were(executor):
    with Sandbox(executor, timeout_s=60, programs=8, memory_mb=128) as sandbox:

        def play(numbers):
            for number in numbers:
                result = sandbox.load(f"# {number}\n{SOURCE}").call("f", {"a": number})
                assert result.value() == {str(number): [number] * 10}

        play(range(60))
        time.sleep(0.5)
        before = (len(os.listdir("/proc/self/fd")), len(descendants()), resident_kb())
        play(range(60, 360))
        deadline = time.monotonic() + 30
        while len(descendants()) != before[1] and time.monotonic() < deadline:
            time.sleep(0.02)  # a child that is told to end or to start takes a moment
        after = (len(os.listdir("/proc/self/fd")), len(descendants()), resident_kb())
    assert after[:2] == before[:2]
    assert after[2] - before[2] < 4000


HUNG = """
import sys, threading
from palaestra.envs.sandbox import Sandbox, process
sandbox = Sandbox(sys.argv[1], timeout_s=300)
steady = sandbox.load("def f():\\n    return 1")
assert steady.call("f").ok
loop = sandbox.load("def f():\\n    while True:\\n        pass")
stopped = sandbox.load("def f():\\n    return 1", stateful=True)
assert stopped.call("f").ok
threading.Thread(target=loop.call, args=("f",), daemon=True).start()
print("ready", flush=True)
threading.Event().wait()
"""


def test_a_killed_parent_leaves_no_process(executor):
    process = subprocess.Popen([sys.executable, "-c", HUNG, executor], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "ready\n"
    deadline = time.monotonic() + 60
    while len(descendants(process.pid)) < 3 - (executor == "monty") and time.monotonic() < deadline:
        time.sleep(0.05)
    started = descendants(process.pid)
    assert started
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    wait_for_end(started)


def wait_for_end(pids):
    """Wait until processes have ended: at once on a machine with time, since the kernel does it."""
    deadline = time.monotonic() + 60
    while any(alive(pid) for pid in pids) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert [pid for pid in pids if alive(pid)] == []


def alive(pid):
    """Whether a process runs."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def test_a_worker_that_is_killed_is_replaced(executor):
    with Sandbox(executor, timeout_s=30) as sandbox:
        program = sandbox.load(SOURCE)
        before = descendants()
        assert program.call("f", {"a": 1}).ok
        started = descendants() - before
        for pid in started:
            with contextlib.suppress(ProcessLookupError):  # it died with another
                os.kill(pid, signal.SIGKILL)
        wait_for_end(started)
        results = [program.call("f", {"a": 1}).status for _ in range(3)]
        assert set(results) <= {"ok", "crash"}
        assert results[-1] == "ok"


def test_a_keeper_that_is_killed_takes_nothing_along(need_process):
    before = descendants()
    with Sandbox("process", timeout_s=30) as sandbox:
        programs = [sandbox.load(f"def f():\n    return {number}\n") for number in range(4)]
        assert [program.call("f").content for program in programs] == ["0", "1", "2", "3"]
        started = descendants() - before
        for pid in started:
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                if Path(f"/proc/{pid}/comm").read_text().strip() == "bwrap":
                    os.kill(pid, signal.SIGKILL)
        wait_for_end(started)
        statuses = [program.call("f").status for program in programs]
        assert statuses.count("crash") <= len(programs)
        assert [program.call("f").content for program in programs] == ["0", "1", "2", "3"]


@pytest.mark.parametrize("step", ["idle", "within a call"])
def test_a_child_killed_at_a_step_of_the_protocol_costs_its_own_call_alone(step, need_process, monkeypatch):
    monkeypatch.setattr(process, "READY_CHILDREN", 0)
    with Sandbox("process", timeout_s=30) as sandbox:
        steady = sandbox.load("def f():\n    return 1\n")
        assert steady.call("f").ok
        known = descendants()
        victim = sandbox.load("def f(n):\n    while n:\n        n -= 1\n    return 2\n", stateful=True)
        assert victim.call("f", {"n": 0}).ok
        (child,) = descendants() - known
        if step == "idle":
            os.kill(child, signal.SIGKILL)
            result = victim.call("f", {"n": 0})
        else:
            import threading

            threading.Timer(0.3, os.kill, (child, signal.SIGKILL)).start()
            result = victim.call("f", {"n": 10**9})
        assert result.status == "crash"
        assert steady.call("f").ok
        assert victim.call("f", {"n": 0}).content == "2"


def test_a_keeper_answers_after_it_is_asked_for_a_child_that_is_not_there(need_process):
    keeper = Keeper(now=0, seed=0)
    try:
        assert keeper.reap(12345) == -1
        assert keeper.pid > 0
    finally:
        keeper.close()
