"""What the executor `process` promises beyond the common face: a fresh world a call, quiet children, no lost answers."""

import contextlib
import datetime
import os
import resource
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from palaestra.envs.sandbox import Sandbox
from palaestra.envs.sandbox.keeper import MODULES, Keeper
from palaestra.errors import UsageError
from tests.envs.sandbox.hostile_list import descendants

pytestmark = pytest.mark.usefixtures("need_process")

FRAMES = """
import uuid
def frames():
    g = (g.gi_frame.f_back for _ in [1])
    frame = next(g)
    while frame is not None:
        yield frame
        frame = frame.f_back
"""
OPEN_ONES = """
import uuid
def f():
    found = []
    for number in range(6000):
        try:
            uuid.os.lseek(number, 0, 1)
        except OSError as error:
            if error.errno == 9:
                continue
        found.append(number)
    return found
"""
BURN = f"""{FRAMES}
def attack():
    for frame in frames():
        if "message" in frame.f_locals:
            answer = {{"id": frame.f_locals["message"]["id"], "status": "ok", "content": "forged", "kind": "text"}}
            uuid.os.write(0, (frame.f_globals["json"].dumps(answer) + "\\n").encode())
    while True:
        pass
def fine():
    return 1
"""


@pytest.fixture(scope="module")
def sandbox():
    with Sandbox("process", timeout_s=30) as shared:
        yield shared


@pytest.mark.parametrize("held", [0, 1100, 2500])
def test_a_child_has_one_descriptor_however_many_the_host_holds(held):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < held + 500:
        pytest.skip(f"this machine allows fewer than {held + 500} descriptors")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, held + 500), hard))
    opened = [os.open(os.devnull, os.O_RDONLY) for _ in range(held)]
    try:
        with Sandbox("process", timeout_s=60) as sandbox:
            assert sandbox.load(OPEN_ONES).call("f").value() == [0]
    finally:
        for descriptor in opened:
            os.close(descriptor)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def used_ticks():
    """Return the processor time that all processes below this have used."""
    total = 0
    for pid in descendants():
        with contextlib.suppress(OSError):
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            total += int(fields[11]) + int(fields[12])
    return total


@pytest.mark.parametrize("stateful", [False, True])
def test_a_child_that_spins_after_a_forged_answer_stands_still(stateful):
    with Sandbox("process", timeout_s=30) as sandbox:
        program = sandbox.load(BURN, stateful=stateful)
        assert program.call("attack").content == "forged"
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            before = used_ticks()
            time.sleep(0.5)
            if used_ticks() == before:
                break
        else:
            pytest.fail("a child still uses the processor")
        if not stateful:
            assert program.call("fine").content == "1"


PATCHES = {
    "a list": "import calendar\ndef f():\n    calendar.mdays.append(1)\n    return len(calendar.mdays)",
    "a setter": "import calendar\ndef f():\n    x = calendar.firstweekday()\n    calendar.setfirstweekday(6)\n    return x",
    "a class": "from json import JSONEncoder as J\ndef f():\n    J.n = getattr(J, 'n', 0) + 1\n    return J.n",
    "an alias": "import json\ndef f():\n    m = json\n    m.n = getattr(m, 'n', 0) + 1\n    return m.n",
    "a second import": "import json, decimal\ndef f():\n    c = decimal.getcontext()\n    c.prec += 5\n    return c.prec",
    "a dict": "import datetime\ndef f():\n    m = datetime.sys.modules\n    m['z'] = m.get('z', 0) + 1\n    return m['z']",
    "frames": f"{FRAMES}def f():\n    g = list(frames())[-1].f_globals\n    g['n'] = g.get('n', 0) + 1\n    return g['n']",
    "the seed": "import random\ndef f():\n    x = random.random()\n    random.seed(x)\n    return x",
    "a cache": "import re\ndef f():\n    x = len(re._cache)\n    re.compile('abc' + str(x))\n    return x",
    "limits": "import re, enum\ndef f():\n    s = enum.sys\n    s.setrecursionlimit(s.getrecursionlimit() + 50)\n"
    "    return s.getrecursionlimit()",
}


@pytest.mark.parametrize("name", sorted(PATCHES))
def test_a_stateless_program_sees_the_same_world_in_every_call(name, sandbox):
    program = sandbox.load(PATCHES[name])
    first = program.call("f")
    assert first.ok, first
    assert [program.call("f").content for _ in range(2)] == [first.content] * 2


MARK_EVERYTHING = """
import {modules}
def walk():
    import types
    seen, todo = set(), [{modules}]
    while todo:
        thing = todo.pop()
        if id(thing) in seen or len(seen) > 20_000:
            continue
        seen.add(id(thing))
        yield thing
        if isinstance(thing, (types.ModuleType, type)):
            kinds = (types.ModuleType, type, types.FunctionType, dict, list)
            todo += [value for value in vars(thing).values() if isinstance(value, kinds)]
def f():
    count = marked = 0
    for thing in list(walk()):
        try:
            if isinstance(thing, list):
                marked += "zzz" in thing
                thing.append("zzz")
            elif isinstance(thing, dict):
                marked += "zzz" in thing
                thing["zzz"] = 1
            else:
                marked += "zzz" in vars(thing)
                thing.zzz = 1
            count += 1
        except Exception:
            pass
    return [count, marked]
"""


def test_no_mark_on_anything_that_can_be_reached_is_seen_by_the_next_call(sandbox):
    program = sandbox.load(MARK_EVERYTHING.format(modules=", ".join(name for name in MODULES if name != "__future__")))
    results = [program.call("f") for _ in range(2)]
    assert [result.status for result in results] == ["ok", "ok"], results
    assert results[0].content == results[1].content
    count, marked = results[0].value()
    assert count > 500
    assert marked < 10  # things that are reached by two ways


class Interrupted:
    """A socket whose next answer is not waited for: what an interrupt does."""

    def __init__(self, inner):
        self.inner, self.armed = inner, True

    def recv(self, size):
        if self.armed:
            self.armed = False
            raise KeyboardInterrupt
        return self.inner.recv(size)

    def __getattr__(self, name):
        return getattr(self.inner, name)


def test_an_answer_that_nobody_waited_for_is_not_taken_for_another():
    keeper = Keeper(now=0, seed=0)
    try:
        real, keeper._host = keeper._host, Interrupted(keeper._host)
        with pytest.raises(KeyboardInterrupt):
            keeper.resume(0)  # answers 0
        keeper._host = real
        assert keeper.reap(12345) == -1
        keeper.resume(0)
        assert keeper.reap(12345) == -1
    finally:
        keeper.close()


def test_a_call_that_is_interrupted_leaves_the_others_right(sandbox):
    programs = [sandbox.load(f"n = {number}\ndef f():\n    return n\n", stateful=number % 2 == 1) for number in range(4)]
    assert [program.call("f").content for program in programs] == ["0", "1", "2", "3"]
    keeper = sandbox._executors["process"].start()
    for program in programs:
        real, keeper._host = keeper._host, Interrupted(keeper._host)
        if program.stateful:
            with pytest.raises(KeyboardInterrupt):
                program.call("f")
        else:
            assert program.call("f").ok  # needs no answer of the keeper
        keeper._host = real
        assert [program.call("f").content for program in programs] == ["0", "1", "2", "3"]


CLOCKS = """
import time, datetime, uuid
def f():
    real = [getattr(time, n) for n in dir(time) if n.startswith("CLOCK_") and "CPU" not in n]
    return {
        "clock_gettime": sorted({time.clock_gettime(c) for c in real}),
        "clock_gettime_ns": sorted({time.clock_gettime_ns(c) for c in real}),
        "cpu": [time.clock_gettime(time.CLOCK_PROCESS_CPUTIME_ID), time.process_time_ns(), time.thread_time_ns()],
        "ns": sorted({time.time_ns(), time.monotonic_ns(), time.perf_counter_ns()}),
        "s": sorted({time.time(), time.monotonic(), time.perf_counter()}),
        "datetime": [str(datetime.datetime.now()), str(datetime.datetime.utcnow()), str(datetime.date.today()),
                     str(datetime.datetime.now(datetime.timezone.utc))],
        "texts": [time.ctime(), time.asctime(), time.strftime("%c"), list(time.localtime()), list(time.gmtime())],
        "uuid1": [str(uuid.uuid1()), str(uuid.uuid1())],
        "os": [list(uuid.os.times()), hasattr(time, "clock_settime")],
    }
"""


def test_every_clock_stands_still(sandbox):
    with Sandbox("process", timeout_s=30) as other:
        found = [sandbox.load(CLOCKS).call("f"), sandbox.load(CLOCKS).call("f"), other.load(CLOCKS).call("f")]
    assert found[0].ok, found[0]
    assert found[0].content == found[1].content == found[2].content
    value = found[0].value()
    now = 1735689600
    assert value["clock_gettime"] == value["s"] == [now]
    assert value["clock_gettime_ns"] == value["ns"] == [now * 10**9]
    assert value["cpu"] == [0, 0, 0]
    assert {text[:10] for text in value["datetime"]} == {"2025-01-01"}
    assert value["os"] == [[0, 0, 0, 0, now], False]


def test_a_clock_that_is_not_there_is_an_error(sandbox):
    assert sandbox.load("import time\ndef f():\n    return time.clock_gettime(987)\n").call("f").content == "OSError"


WRONG_DATES = {
    "date(2024, 13, 1)": lambda: datetime.date(2024, 13, 1),
    "date(2024, 2, 30)": lambda: datetime.date(2024, 2, 30),
    "date(10000, 1, 1)": lambda: datetime.date(10000, 1, 1),
    "datetime(2024, 1, 1, 25)": lambda: datetime.datetime(2024, 1, 1, 25),
    "time(1, 60)": lambda: datetime.time(1, 60),
}


@pytest.mark.parametrize("line", sorted(WRONG_DATES))
def test_errors_of_dates_have_the_words_of_this_python(line, sandbox):
    with pytest.raises(ValueError) as raised:  # noqa: PT011 - the words are compared below
        WRONG_DATES[line]()
    source = (
        f"from datetime import *\ndef f():\n    try:\n        {line}\n    except ValueError as e:\n        return str(e)\n"
    )
    assert sandbox.load(source).call("f").content == str(raised.value)


LOCKED = """
import sys, threading
from palaestra.envs.sandbox import Sandbox, spawner
sandbox = Sandbox(sys.argv[1], timeout_s=60)
programs = [sandbox.load("def f():\\n    return 1", stateful=stateful) for stateful in (False, True)]
assert [program.call("f").content for program in programs] == ["1", "1"]
executor = sandbox._executors[sys.argv[1]]
held = [value for thing in (sandbox, *programs, executor, getattr(executor, "_keeper", None), spawner)
        for value in vars(thing or spawner).values() if hasattr(value, "acquire") and hasattr(value, "release")]
assert len(held) >= 3
print("holding", len(held), flush=True)
for lock in set(held):
    lock.acquire()
for program in programs:
    program.__del__()
sandbox.__del__()
for lock in set(held):
    lock.release()
print("done", flush=True)
"""


@pytest.mark.parametrize("executor", ["process", "monty"])
def test_collecting_garbage_takes_no_lock(executor, missing):
    if executor in missing:
        pytest.skip(missing[executor])
    done = subprocess.run([sys.executable, "-c", LOCKED, executor], capture_output=True, text=True, timeout=50, check=False)
    assert done.stdout.endswith("done\n"), done.stderr[-500:]


def test_a_fork_while_another_thread_holds_every_lock():
    with Sandbox("process", timeout_s=30, max_calls=100) as sandbox:
        program = sandbox.load("def f():\n    return 1\n")
        assert program.call("f").ok
        locks = {
            v for t in (sandbox, program, sandbox._executors["process"]) for v in vars(t).values() if hasattr(v, "acquire")
        }
        taken, done = threading.Event(), threading.Event()

        def hold():
            with contextlib.ExitStack() as stack:
                for lock in locks:
                    stack.enter_context(lock)
                taken.set()
                done.wait(60)

        thread = threading.Thread(target=hold)
        thread.start()
        taken.wait(60)
        child = os.fork()
        if child == 0:
            try:
                os._exit(0 if program.call("f").content == "1" else 3)
            finally:
                os._exit(4)
        deadline = time.monotonic() + 50
        ended = (0, 0)
        while ended[0] == 0 and time.monotonic() < deadline:
            ended = os.waitpid(child, os.WNOHANG)
            time.sleep(0.02)
        if ended[0] == 0:
            os.kill(child, 9)
            os.waitpid(child, 0)
        done.set()
        thread.join()
        assert ended == (child, 0)
        assert program.call("f").content == "1"


@pytest.mark.parametrize("executor", ["process", "monty"])
def test_closing_in_the_middle_of_a_call_ends_it_and_whoever_waits(executor, missing):
    if executor in missing:
        pytest.skip(missing[executor])
    before = descendants()
    sandbox = Sandbox(executor, timeout_s=120, workers=1, programs=1)
    program = sandbox.load("def f():\n    while True:\n        pass\ndef g():\n    return 1\n")
    assert program.call("g").ok
    told = {}

    def run(name):
        try:
            told[name] = program.call(name).status
        except UsageError as error:
            told[name] = str(error)

    threads = [threading.Thread(target=run, args=(name,)) for name in ("f", "g")]
    ticks = used_ticks()
    threads[0].start()
    while used_ticks() < ticks + 5:
        time.sleep(0.02)
    threads[1].start()
    time.sleep(0.2)
    sandbox.close()
    for thread in threads:
        thread.join(60)
    assert told == {"f": "crash", "g": "The sandbox is closed; make another one."}
    deadline = time.monotonic() + 30
    while descendants() - before and time.monotonic() < deadline:
        time.sleep(0.02)
    assert descendants() - before == set()


@pytest.mark.parametrize("executor", ["process", "monty"])
def test_many_programs_side_by_side_on_two_workers(executor, missing):
    if executor in missing:
        pytest.skip(missing[executor])
    with Sandbox(executor, timeout_s=120, workers=2, programs=2) as sandbox:
        programs = [sandbox.load(f"def f(a):\n    return [a, {number}]\n") for number in range(64)]
        told = {}

        def play(number):
            told[number] = [programs[number].call("f", {"a": a}).value() for a in range(3)]

        threads = [threading.Thread(target=play, args=(number,)) for number in range(64)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(120)
    assert told == {number: [[a, number] for a in range(3)] for number in range(64)}
