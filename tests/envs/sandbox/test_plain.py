"""Which sources leave their globals alone, and that a session that is kept for them shows no call what another one did."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from experiments.sandbox.programs import program as random_program
from palaestra.envs.sandbox import Sandbox
from palaestra.envs.sandbox import monty as executor_monty
from palaestra.envs.sandbox.plain import leaves_globals_alone
from palaestra.envs.sandbox.routing import needs_cpython

PLAIN = {
    "a function": "def f(n):\n    return n + 1",
    "words": '"""A tool."""\ndef f(n):\n    return n + 1',
    "constants": "A = 1\nB: str = 'b'\nC = (-1, 'x', (None, True))\ndef f(n):\n    return [A, B, C, n]",
    "defaults": "def f(n, a=1, *, b='b', c=(1, 2)):\n    return [n, a, b, c]",
    "imports": "import json\nfrom math import sqrt\ndef f(n):\n    return json.dumps([n, sqrt(4)])",
    "own lists": "def f(n):\n    seen = []\n    seen.append(n)\n    return seen",
    "a helper": "def g(n):\n    return [n]\ndef f(n):\n    return g(n) + g(n)",
    "prints": "def f(n):\n    print(n)\n    print(n)\n    return n",
}
CHANGES = {
    "a list": "SEEN = []\ndef f(n):\n    SEEN.append(n)\n    return SEEN",
    "a list in a tuple": "SEEN = ([], 1)\ndef f(n):\n    SEEN[0].append(n)\n    return SEEN",
    "a default": "def f(n, seen=[]):\n    seen.append(n)\n    return seen",
    "a default by name": "def f(n, *, seen={}):\n    seen['n'] = n\n    return len(seen)",
    "a global": "COUNT = 0\ndef f(n):\n    global COUNT\n    COUNT += 1\n    return COUNT",
    "a global of a helper": "COUNT = 0\ndef g():\n    global COUNT\n    COUNT += 1\ndef f(n):\n    g()\n    return COUNT",
    "a call at the top": "def g(n):\n    return [n]\nSEEN = g(1)\ndef f(n):\n    SEEN.append(n)\n    return SEEN",
    "a condition at the top": "if True:\n    SEEN = []\ndef f(n):\n    return n",
    "a loop at the top": "for i in range(3):\n    A = [i]\ndef f(n):\n    return A",
    "an item at the top": "A = 1\ndef f(n):\n    return A\n[0][0] = 1",
    "chance": "import random\ndef f(n):\n    return random.random()",
    "a class": "class A:\n    n = 0\ndef f(n):\n    A.n += 1\n    return A.n",
    "an attribute": "def f(n):\n    f.n = n\n    return f.n",
    "no Python": "def f(:",
}
CYCLES = "def f(n):\n    own = [0] * n\n    own.append(own)\n    return len(own)\n"


@pytest.fixture(scope="module")
def sandbox(missing):
    if "monty" in missing:
        pytest.skip(missing["monty"])
    with Sandbox("monty", timeout_s=60, memory_mb=64) as shared:
        yield shared


def kept(sandbox):
    """Return the program for which the only worker keeps a session, if any."""
    (worker,) = sandbox._executors["monty"]._idle
    return worker.kept and worker.kept.program


@pytest.mark.parametrize("name", PLAIN)
def test_a_plain_source_keeps_its_session_from_the_second_call_on(sandbox, name):
    assert leaves_globals_alone(PLAIN[name])
    program, first = sandbox.load(PLAIN[name]), sandbox.load(PLAIN[name]).call("f", {"n": 5})
    found = []
    for n in (5, 6, 5, 5):
        found.append(program.call("f", {"n": n}))
        assert kept(sandbox) is (program._loaded if len(found) > 1 else None)
    for again in (found[0], *found[2:]):
        assert (again.status, again.content, again.prints) == (first.status, first.content, first.prints)
    assert found[1].status == "ok"


@pytest.mark.parametrize("name", CHANGES)
def test_a_source_whose_globals_could_change_gets_a_fresh_session(sandbox, name):
    assert not leaves_globals_alone(CHANGES[name])
    program = sandbox.load(CHANGES[name])
    results = []
    for _ in range(3):
        results.append(program.call("f", {"n": 1}).content)
        assert name == "no Python" or kept(sandbox) is None
    assert len(set(results)) == 1


def test_an_error_or_another_program_ends_a_session(sandbox):
    one, other = (sandbox.load(f"# {i}\ndef f(n):\n    return 10 // n\n") for i in range(2))
    for program in (one, one, one):
        assert program.call("f", {"n": 2}).content == "5"
    assert one.call("f", {"n": 0}).content == "ZeroDivisionError"
    assert kept(sandbox) is None
    for n in (1, 2):
        assert one.call("f", {"n": n}).ok
    assert kept(sandbox) is one._loaded
    for _ in range(3):  # in turns nothing is kept
        assert other.call("f", {"n": 2}).content == "5"
        assert one.call("f", {"n": 2}).content == "5"
        assert kept(sandbox) is None


def test_what_earlier_calls_leave_in_memory_counts_against_no_later_one(sandbox):
    assert leaves_globals_alone(CYCLES)
    program = sandbox.load(CYCLES)
    for _ in range(60):  # lists that hold themselves, 3 MB each: their memory is not taken back within a session
        assert program.call("f", {"n": 200_000}).content == "200001"
    assert kept(sandbox) is program._loaded


def test_a_result_stays_in_memory_until_the_next_call_only(missing):
    if "monty" in missing:
        pytest.skip(missing["monty"])
    with Sandbox("monty", timeout_s=60, memory_mb=64, output_chars=10_000_000) as sandbox:
        program = sandbox.load("def f(n):\n    return [0] * n\n")
        for _ in range(4):
            assert program.call("f", {"n": 2_200_000}).ok
        (worker,) = sandbox._executors["monty"]._idle
        assert worker.kept.calls == 3  # no call ran out of memory and was made again


def test_a_session_is_replaced_after_a_number_of_calls(sandbox, monkeypatch):
    monkeypatch.setattr(executor_monty, "CALLS_PER_SESSION", 4)
    program = sandbox.load("def f(n):\n    return n\n")
    counts = []
    for n in range(12):
        assert program.call("f", {"n": n}).content == str(n)
        (worker,) = sandbox._executors["monty"]._idle
        counts.append(worker.kept.calls if worker.kept else 0)
    assert counts == [0, 1, 2, 3, 4, 1, 2, 3, 4, 1, 2, 3]


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(0, 100_000))
def test_random_programs_give_the_same_in_kept_and_fresh_sessions(sandbox, seed):
    source, variants = random_program(seed)
    again = f"{source}\nUNUSED = []\n"  # so that each call has a session of its own
    assert not leaves_globals_alone(again)
    assert needs_cpython(again) == needs_cpython(source)
    one, other = sandbox.load(source), sandbox.load(again)
    mine = [one.call("f", given) for given in (*variants, *variants)]
    fresh = [other.call("f", given) for given in (*variants, *variants)]
    assert [(r.status, r.content, r.prints) for r in mine] == [(r.status, r.content, r.prints) for r in fresh]
