"""Which programs keep their child: those of which no call leaves anything that another could see."""

import gc
import importlib
import json
import threading
import time
import tomllib
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from experiments.sandbox.programs import program as random_program
from palaestra.envs.sandbox import Sandbox, process
from palaestra.envs.sandbox.known_pure import FUNCTIONS, VALUES
from palaestra.envs.sandbox.routing import traces
from tests.fixtures import need_rows

TRICKS = tomllib.loads(Path(__file__).with_name("tricks.toml").read_text(encoding="utf-8"))["sources"]
KEEPERS = {
    "re": "import re\ndef f(n):\n    return [m.group() for m in re.finditer(r'\\d+', str(n), re.I | re.M)]",
    "dates": "from datetime import datetime\ndef f(n):\n    return str(datetime.strptime(f'2024-1-{n + 1}', '%Y-%m-%d'))",
    "json": "import json\ndef f(n):\n    return json.loads(json.dumps({'n': n}, sort_keys=True))",
    "chance": "import random\ndef f(n):\n    return [random.random(), random.gauss(0, 1), random.randint(0, 9)]",
    "globals": "seen = []\ndef f(n, k={}):\n    seen.append(n)\n    k[n] = 1\n    return [seen, len(k)]",
    "count": "from collections import Counter\ndef f(n):\n    c = Counter('a')\n    c['a'] += n\n    return c.most_common(2)",
    "statistics": "import statistics, math\ndef f(n):\n    return [statistics.mean([n, 1, 2]), math.sqrt(n)]",
    "built-in names": "def f(n, type='a', id=1, input=None):\n    return [n, type, id, input]",
    "helpers": "g = lambda v: v + 1\ndef h(v):\n    return g(v)\ndef f(n):\n    return sorted([h(n), 0], key=lambda v: -v)",
    "exceptions": "def f(n):\n    try:\n        return [1][n]\n    except IndexError as e:\n        return str(e)",
}

SPIN = """
import uuid
def attack():
    g = (g.gi_frame.f_back for _ in [1])
    frame = next(g)
    while frame is not None:
        if "message" in frame.f_locals:
            answer = {"status": "ok", "content": "forged", "kind": "text", "again": True}
            answer["id"] = frame.f_locals["message"]["id"]
            uuid.os.write(0, (frame.f_globals["json"].dumps(answer) + "\\n").encode())
        frame = frame.f_back
    while True:
        pass
def fine():
    return 1
"""


@pytest.fixture(scope="module")
def sandbox(missing):
    if "process" in missing:
        pytest.skip(missing["process"])
    with Sandbox("process", timeout_s=60) as shared:
        yield shared


def told(sandbox, source, calls, found=None):
    """Return what calls of one program give; with `found`, as if the look at its syntax had found that."""
    with pytest.MonkeyPatch.context() as patch:
        if found is not None:
            patch.setattr(process, "traces", lambda source: found)
        program = sandbox.load(source)
        results = [program.call(name, arguments) for name, arguments in calls]
        program.close()
    return [(result.status, result.content, result.prints) for result in results]


CALLS = [("f", {"n": n}) for n in (0, 1, 2)]
FRESH, KEPT = ("for this test",), ()


def test_two_calls_are_what_each_is_in_a_fresh_child(sandbox):
    working = []
    for name, source in TRICKS.items():
        fresh = told(sandbox, source, CALLS, FRESH)
        assert told(sandbox, source, CALLS) == fresh, name
        if told(sandbox, source, CALLS, KEPT) != fresh:
            working.append(name)
    assert len(working) >= 60  # of these it is the look at the syntax that keeps them from working
    assert [name for name in working if not traces(TRICKS[name])] == []


def kept_name(sandbox, program):
    """Return the name of the child that waits for calls of a program; None if there is none."""
    child = sandbox._executors["process"]._idle.get(program._loaded)
    return child and child.name


@pytest.mark.parametrize("name", sorted(KEEPERS))
def test_plain_programs_keep_their_child(name, sandbox):
    source = KEEPERS[name]
    assert traces(source) == ()
    program = sandbox.load(source)
    assert program.call("f", {"n": 0}).ok
    first = kept_name(sandbox, program)
    assert first is not None
    for n in (1, 2):
        program.call("f", {"n": n})
        assert kept_name(sandbox, program) == first
    program.close()
    assert kept_name(sandbox, program) is None
    assert told(sandbox, source, CALLS) == told(sandbox, source, CALLS, FRESH)


def test_a_child_that_has_used_much_is_not_used_again(sandbox):
    program = sandbox.load("def f(n):\n    return len([0] * n)\ndef g(n):\n    while n:\n        n -= 1\n")
    assert program.call("f", {"n": 10}).content == "10"
    assert kept_name(sandbox, program) is not None
    assert program.call("f", {"n": 2_000_000}).content == "2000000"
    assert kept_name(sandbox, program) is None
    assert program.call("f", {"n": 10}).content == "10"
    first = kept_name(sandbox, program)
    while kept_name(sandbox, program) == first:
        assert program.call("g", {"n": 2_000_000}).ok
    assert kept_name(sandbox, program) is None


def test_what_is_not_a_function_of_the_source_is_called_in_a_fresh_child(sandbox):
    program = sandbox.load("from math import sqrt\nfrom re import escape\ndef f(n):\n    return sqrt(n)\n")
    assert program.call("f", {"n": 4}).content == "2.0"
    first = kept_name(sandbox, program)
    assert program.call("escape", {"pattern": "a.b"}).content == "a\\.b"
    assert kept_name(sandbox, program) == first
    assert program.call("f", {"n": 9}).content == "3.0"


def test_a_kept_child_that_was_ended_is_replaced(sandbox):
    program = sandbox.load("def f(n):\n    return n\n")
    assert program.call("f", {"n": 1}).content == "1"
    executor = sandbox._executors["process"]
    child = executor._idle[program._loaded]
    child.keeper.reap(child.name)
    assert program.call("f", {"n": 2}).content == "2"
    assert kept_name(sandbox, program) not in (None, child.name)


def test_idle_children_make_room_and_end_with_their_programs(missing):
    if "process" in missing:
        pytest.skip(missing["process"])
    with Sandbox("process", timeout_s=60, programs=3) as small:
        programs = [small.load(f"# {i}\ndef f(n):\n    return [n, {i}]\n") for i in range(8)]
        for n in range(2):
            for i, program in enumerate(programs):
                assert program.call("f", {"n": n}).value() == [n, i]
        executor = small._executors["process"]
        assert len(executor._idle) == 3
        stateful = [small.load("x = []\ndef f():\n    x.append(1)\n    return len(x)\n", stateful=True) for _ in range(2)]
        assert [program.call("f").content for program in stateful * 2] == ["1", "1", "2", "2"]
        assert len(executor._idle) + len(executor._kept) == 3
        del programs, program
        gc.collect()
        assert stateful[0].call("f").content == "3"
        assert len(executor._idle) == 0


def test_one_program_in_many_threads(sandbox):
    program = sandbox.load("seen = []\ndef f(n):\n    seen.append(n)\n    return seen\n")
    results = []
    threads = [
        threading.Thread(target=lambda i=i: results.extend((i, program.call("f", {"n": i}).value()) for _ in range(5)))
        for i in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 40
    assert all(value == [i] for i, value in results)


def test_few_frames_mean_fresh_children(missing):
    if "process" in missing:
        pytest.skip(missing["process"])
    with Sandbox("process", timeout_s=60, recursion=200) as shallow:
        program = shallow.load("def f(n):\n    return n\n")
        assert program.call("f", {"n": 1}).content == "1"
        assert kept_name(shallow, program) is None


def test_a_child_that_fools_the_look_and_spins_between_calls_is_ended_by_the_kernel(missing, monkeypatch):
    if "process" in missing:
        pytest.skip(missing["process"])
    monkeypatch.setattr(process, "traces", lambda source: ())
    monkeypatch.setattr(process, "MORE_CPU_S", 0)
    with Sandbox("process", timeout_s=1) as short:
        program = short.load(SPIN)
        assert program.call("attack").content == "forged"
        child = short._executors["process"]._idle[program._loaded]
        deadline = time.monotonic() + 120
        while child.is_quiet() and time.monotonic() < deadline:
            time.sleep(0.1)
        assert not child.is_quiet()
        assert program.call("fine").content == "1"


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 10**6))
def test_random_programs_give_the_same_in_a_child_that_is_kept(seed, sandbox):
    source, arguments = random_program(seed)
    calls = [("f", given) for given in arguments * 2]
    assert told(sandbox, source, calls) == told(sandbox, source, calls, FRESH)


def test_everything_on_the_list_is_there():
    for table in (FUNCTIONS, VALUES):
        for module, names in table.items():
            assert [name for name in names if not hasattr(importlib.import_module(module), name)] == [], module


def test_most_published_tools_keep_their_child():
    sources = {code for row in need_rows("ftrl/test.jsonl") for code in json.loads(row["codes"]).values()}
    assert sum(not traces(source) for source in sources) >= 0.95 * len(sources)
