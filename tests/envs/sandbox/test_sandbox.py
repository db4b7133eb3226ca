"""What `Sandbox` and `Program` promise, on both executors."""

import builtins
import copy
import json
import keyword
import math
import os
import pickle
import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from palaestra.envs.sandbox import Program, Sandbox, SandboxResult, results
from palaestra.envs.sandbox import sandbox as face
from palaestra.errors import UnknownNameError, UsageError
from tests.envs.sandbox.hostile_list import descendants

ADD = "def add(a, b=1):\n    return a + b\n"
COUNT = "n = 0\ndef count():\n    global n\n    n += 1\n    return n\n"
ECHO = "def echo(value):\n    return value\n"
NEEDS_CPYTHON = "import calendar\ndef f(year):\n    return calendar.isleap(year)\n"


def test_a_call_gives_status_content_and_executor(shared, executor):
    result = shared.load(ADD).call("add", {"a": 2})
    assert isinstance(result, SandboxResult)
    assert (result.status, result.content, result.kind, result.executor) == ("ok", "3", "json", executor)
    assert result.value() == 3
    assert result.cpu_ms >= 0


def test_texts_come_as_they_are_and_everything_else_as_json(shared):
    echo = shared.load(ECHO)
    assert echo.call("echo", {"value": "größe"}).content == "größe"
    assert echo.call("echo", {"value": "größe"}).kind == "text"
    assert echo.call("echo", {"value": {"größe": [1, None, True]}}).content == '{"größe": [1, null, true]}'
    assert echo.call("echo", {"value": None}).content == "null"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=12,
)


@settings(max_examples=60, deadline=None)
@given(value=JSON)
def test_plain_data_comes_back_as_it_went_in(shared, value):
    result = shared.load(ECHO).call("echo", {"value": value})
    assert result.ok, result
    assert result.value() == value
    assert result.content == (value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "missing: a"),
        ({"a": 1, "c": 2}, "unexpected: c"),
        ({"a": math.nan}, "not JSON"),
        ({"a": {1, 2}}, "not JSON"),
        ({"a": "\ud800"}, "not JSON"),
        ({"a": 10**5000}, "not JSON"),
        ({"a": "x" * 1_000_001}, "longer than"),
        ({1: 2}, "not a JSON object"),
        ([1], "not a JSON object"),
        ([], "not a JSON object"),
        ("", "not a JSON object"),
        (0, "not a JSON object"),
        (False, "not a JSON object"),
        ((), "not a JSON object"),
        ({"a": 1, "not a name": 2}, "unexpected: (not a name)"),
    ],
)
def test_arguments_that_do_not_fit_are_refused_before_anything_runs(shared, arguments, message):
    result = shared.load(ADD).call("add", arguments)
    assert result.status == "invalid_arguments"
    assert message in result.content


def test_no_message_repeats_the_value_of_an_argument(shared):
    secret = "tell-nobody-7319"
    source = (
        "def f(a):\n    raise type('E' + a, (ValueError,), {})(a)\ndef g(a):\n    return [a][5]\ndef h(a):\n    return {}[a]\n"
    )
    program = shared.load(source)
    for name in ("f", "g", "h"):
        result = program.call(name, {"a": secret})
        assert result.status == "error"
        assert secret not in result.content
    assert program.call("g", {"a": secret}).content == "IndexError"
    assert program.call("h", {"a": secret}).content == "KeyError"
    assert secret in program.call("h", {"a": secret}).detail  # for logs, and said to be so


def test_a_source_that_is_not_python_is_an_error(shared):
    result = shared.load("def f(:\n").call("f")
    assert (result.status, result.content) == ("error", "SyntaxError")
    assert shared.load("x = 1\n" * 60_000).call("f").status == "crash"
    assert shared.load("x = '\\w'\ndef f(): return x\n").call("f").content == "\\w"  # no warning of it


@pytest.mark.parametrize("name", ["g", "", "add or 1", "None", "a.b", "add(1) or add", "__import__"])
def test_a_name_that_is_not_a_function_of_the_source_is_an_error(shared, name):
    assert shared.load(ADD).call(name, {"a": 1}).status == "error"


BUILTINS = [name for name in dir(builtins) if name.isidentifier() and not keyword.iskeyword(name)]


def test_nothing_but_what_the_source_binds_can_be_called(shared):
    program = shared.load("import math\ndef f(a):\n    b = a\n    return b\n")
    for name in (*BUILTINS, "__sandbox_dumps", "__sandbox_len", "dumps"):
        result = program.call(name, {"a": 1})
        assert (result.status, result.content) == ("error", "NameError"), name
    assert program.call("math").content == "TypeError"
    assert shared.load("def len(a):\n    return a\n").call("len", {"a": 7}).content == "7"


OWN_ERRORS = sorted(
    name
    for name in BUILTINS
    if isinstance(getattr(builtins, name), type)
    and issubclass(getattr(builtins, name), Exception)
    and not name.startswith(("Unicode", "ExceptionGroup", "PythonFinalization"))
)


def test_exceptions_that_the_code_raises_are_errors_of_their_name(shared, executor):
    for name in OWN_ERRORS:
        result = shared.load(f"def f():\n    # print\n    raise {name}('told by an upstream service')\n").call("f")
        if name == "MemoryError":
            assert result.status == "crash"
        elif name != "StopIteration" and not (executor == "monty" and result.content == "NameError"):  # it lacks some
            assert (result.status, result.content) == ("error", getattr(builtins, name).__name__), name
            assert "upstream" in result.detail


def test_what_is_forbidden_is_blocked_though_the_code_raises_the_same_elsewhere(shared):
    source = "def f(a):\n    if a:\n        raise PermissionError('no')\n    return open('/etc/passwd').read()\n"
    program = shared.load(source)
    assert program.call("f", {"a": 0}).status == "blocked"
    assert program.call("f", {"a": 1}).status == "error"


def test_an_error_that_passes_a_handler_is_still_the_codes(shared):
    source = "def f():\n    try:\n        raise PermissionError('no')\n    except (TypeError, KeyError):\n        return 1\n"
    assert shared.load(source).call("f").content == "PermissionError"


def test_a_message_like_the_interpreters_own_is_still_the_codes(shared):
    for kind in ("ValueError", "RuntimeError"):
        result = shared.load(f"def f():\n    raise {kind}('Internal error in monty: x')\n").call("f")
        assert (result.status, result.content) == ("error", kind)


def test_a_name_that_is_not_there_is_an_error_however_often_it_is_looked_for(shared):
    source = "def f():\n    n = 0\n    for i in range(20):\n        try:\n            nothing\n"
    source += "        except NameError:\n            n += 1\n    return n\n"
    assert shared.load(source).call("f").content == "20"


UNUSABLE = ("{n}", "float('inf')", "{1.5: float('nan')}", "{(1, 2): n}", "b'a'", "f", "[n, 10 ** 5000]")


@pytest.mark.parametrize("stateful", [False, True])
@pytest.mark.parametrize("end", ["\n", "\r", "\r\n"])
def test_a_result_that_is_not_json_is_no_error_of_the_code(end, stateful, shared):
    for unusable in UNUSABLE:
        lines = [
            "x = '''a",
            "b'''",
            "def f(n):",
            " try:",
            "  [][n]",
            " except LookupError:",
            f"  return {unusable}",
            "print(1)",
        ]
        program = shared.load(end.join(lines), stateful=stateful)
        for _ in range(2):
            found = program.call("f", {"n": 1})
            assert (found.status, found.content) == ("crash", results.NOT_JSON), unusable
    failing = shared.load(f"def f(n):{end} raise ValueError('x'){end}", stateful=stateful)
    assert [failing.call("f", {"n": 1}).content for _ in range(2)] == ["ValueError"] * 2
    for before in range(4):
        failing = shared.load(f"{end * before}1 / 0{end}def f():{end} return 1", stateful=stateful)
        assert failing.call("f").content == "ZeroDivisionError"


@settings(max_examples=25, deadline=None)
@given(text=st.text(min_size=1, max_size=40))
def test_a_text_is_measured_as_a_text_however_long_its_json_is(text, shared):
    size, limit = len(text.encode()), shared.limits.output_chars
    program = shared.load("def f(t, n):\n    return t * n")
    for n in (limit // size, limit // size + 1):
        found = program.call("f", {"t": text, "n": n})
        expected = ("ok", text * n, "text") if size * n <= limit else ("crash", results.TOO_LONG, "text")
        assert (found.status, found.content, found.kind) == expected


@pytest.mark.parametrize(("digits", "status"), [(4000, "ok"), (4001, "crash")])
def test_integers_of_a_result_have_at_most_4000_digits(shared, digits, status):
    for sign in ("", "-"):
        for value in (f"{sign}10**{digits - 1}", f"[{sign}10**{digits - 1}]", f"{{'a': {sign}(10**{digits} - 1)}}"):
            assert shared.load(f"def f():\n    return {value}\n").call("f").status == status, value


@pytest.mark.parametrize(
    "forged", ["1e999", "-1E999", "1" * 400 + ".0", '"\\ud800"', '{"a": "\\uDC00"}', "NaN", "[-Infinity]"]
)
def test_what_is_not_json_is_refused_even_if_a_worker_says_so(forged):
    assert results.checked("json", forged, 10_000, executor="process").content == results.NOT_JSON


@given(value=st.recursive(st.text() | st.floats(allow_nan=False, allow_infinity=False), st.lists, max_leaves=6))
def test_honest_results_pass_in_both_notations(value):
    for is_ascii in (False, True):
        text = json.dumps(value, ensure_ascii=is_ascii)
        assert results.checked("json", text, 10**6, executor="process").value() == value


def test_nothing_is_left_over_between_calls_unless_the_program_is_stateful(shared):
    program = shared.load(COUNT)
    assert [program.call("count").content for _ in range(3)] == ["1", "1", "1"]
    keeping, other = shared.load(COUNT, stateful=True), shared.load(COUNT, stateful=True)
    assert [keeping.call("count").content for _ in range(3)] == ["1", "2", "3"]
    assert other.call("count").content == "1"
    keeping.close()
    assert keeping.call("count").content == "1"
    keeping.close()
    other.close()


def test_a_name_that_a_call_makes_is_not_there_in_the_next(shared):
    source = (
        "def f():\n    global seen\n    try:\n        seen += 1\n    except NameError:\n        seen = 1\n    return seen\n"
    )
    program = shared.load(source)
    assert [program.call("f").content for _ in range(3)] == ["1", "1", "1"]


def test_a_crash_ends_the_state_of_a_program_and_an_error_does_not(executor):
    source = COUNT + "def fail():\n    return 1 / 0\ndef loop():\n    while True:\n        pass\n"
    with Sandbox(executor, timeout_s=1.0) as sandbox:
        program = sandbox.load(source, stateful=True)
        assert program.call("count").content == "1"
        assert program.call("fail").status == "error"
        assert program.call("count").content == "2"
        assert program.call("loop").status == "timeout"
        assert program.call("count").content == "1"


def test_chance_clock_and_hashes_are_the_same_in_every_call_and_sandbox(executor):
    source = (
        "import random, time, datetime\n"
        "def f():\n"
        "    time.sleep(3600)\n"
        "    return [random.random(), random.randint(1, 10**6), time.time(), time.monotonic(),\n"
        "            str(datetime.datetime.now()), str(datetime.date.today()), list({'a', 'b', 'c', 'd', 'e'})]\n"
    )
    with Sandbox(executor, timeout_s=30) as one, Sandbox(executor, timeout_s=30) as other, Sandbox(executor, seed=7) as third:
        program = one.load(source)
        first = program.call("f")
        assert first.ok, first
        assert program.call("f").content == first.content
        assert other.load(source).call("f").content == first.content
        assert third.load(source).call("f").value()[:2] != first.value()[:2]
    assert first.value()[2:6] == [1735689600.0, 1735689600.0, "2025-01-01 00:00:00", "2025-01-01"]
    assert first.value()[0] == 0.8444218515250481  # as random.seed(0) gives it


def test_prints_are_counted_and_dropped(shared, capfd):
    result = shared.load("def f():\n    for i in range(7):\n        print('x', i)\n    return 'y'\n").call("f")
    assert (result.content, result.prints) == ("y", 7)
    assert capfd.readouterr() == ("", "")


def test_a_result_at_the_limit_passes_and_one_above_does_not(executor):
    source = "def f(n, c):\n    return c * n\n"
    with Sandbox(executor, output_chars=100, timeout_s=30) as sandbox:
        program = sandbox.load(source)
        assert program.call("f", {"n": 100, "c": "x"}).ok
        assert program.call("f", {"n": 101, "c": "x"}).status == "crash"
        assert program.call("f", {"n": 60, "c": "é"}).status == "crash"  # 120 bytes
        assert program.call("f", {"n": 50, "c": "é"}).ok


def test_calls_of_a_program_are_counted_where_there_is_a_limit(executor):
    with Sandbox(executor, max_calls=2, timeout_s=30) as sandbox:
        program = sandbox.load(ADD)
        assert [program.call("add", {"a": 1}).status for _ in range(3)] == ["ok", "ok", "blocked"]
        assert sandbox.load(ADD).call("add", {"a": 1}).ok


def test_it_pickles_and_copies_as_its_settings(executor):
    with Sandbox(executor, timeout_s=30, memory_mb=200) as sandbox:
        program = sandbox.load(COUNT, stateful=True)
        assert program.call("count").content == "1"
        for twin in (pickle.loads(pickle.dumps(program)), copy.deepcopy(program)):
            assert isinstance(twin, Program)
            assert twin.sandbox.limits == sandbox.limits
            assert twin.sandbox is not sandbox
            assert twin.call("count").content == "1"
            twin.sandbox.close()
        assert program.call("count").content == "2"


def test_a_closed_sandbox_says_so_and_leaves_no_process(executor):
    before = descendants()
    sandbox = Sandbox(executor, timeout_s=30)
    program = sandbox.load(ADD)
    assert program.call("add", {"a": 1}).ok
    assert descendants() - before
    sandbox.close()
    assert descendants() - before == set()
    with pytest.raises(UsageError, match="closed"):
        program.call("add", {"a": 1})


def test_threads_share_a_sandbox(executor):
    wrong = []
    with Sandbox(executor, timeout_s=60, programs=4) as sandbox:
        programs = [sandbox.load(f"def f(a):\n    return [a, {i}]\n") for i in range(8)]

        def play(number):
            for k in range(12):
                i = (number + k) % len(programs)
                result = programs[i].call("f", {"a": k})
                if not result.ok or result.value() != [k, i]:
                    wrong.append(result)

        threads = [threading.Thread(target=play, args=(number,)) for number in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert wrong == []


def test_a_thread_that_ends_does_not_take_its_worker_along(executor):
    with Sandbox(executor, timeout_s=30) as sandbox:
        program = sandbox.load(COUNT, stateful=True)
        thread = threading.Thread(target=program.call, args=("count",))
        thread.start()
        thread.join()
        thread = threading.Thread(target=lambda: None)  # gives the kernel time for a signal
        thread.start()
        thread.join()
        assert program.call("count").content == "2"


def test_a_fork_begins_anew_and_leaves_the_parents_workers_alone(executor):
    with Sandbox(executor, timeout_s=30) as sandbox:
        program = sandbox.load(COUNT, stateful=True)
        assert program.call("count").content == "1"
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            try:
                try:
                    told = program.call("count").content
                except UsageError as error:
                    told = "1" if executor == "monty" and "forked" in str(error) else str(error)
                os.write(writing, told.encode())
                sandbox.close()
            finally:
                os._exit(0)
        os.close(writing)
        with os.fdopen(reading) as told:
            assert told.read() == "1"
        os.waitpid(child, 0)
        assert program.call("count").content == "2"


def test_a_source_that_lies_about_its_length_sends_no_more_than_the_limit(shared):
    for forged in ("'x' * 5_000_000", "['x' * 5_000_000]", "'[' * 5_000_000"):
        source = f"__sandbox_dumps = lambda *values, **options: {forged}\ndef f():\n    return 'x' * 5_000_000\n"
        result = shared.load(source).call("f")
        assert (result.status, result.content) == ("crash", results.TOO_LONG)


def test_stateful_programs_that_are_forgotten_make_room(executor):
    with Sandbox(executor, timeout_s=30, programs=2) as sandbox:
        for _ in range(4):
            assert sandbox.load(COUNT, stateful=True).call("count").content == "1"
        kept = [sandbox.load(COUNT, stateful=True) for _ in range(3)]
        assert [program.call("count").content for program in kept[:2]] == ["1", "1"]
        with pytest.raises(UsageError, match="2 stateful programs are in use"):
            kept[2].call("count")


def test_many_open_descriptors_do_no_harm(need_process):
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < 2000:
        pytest.skip("this machine allows fewer than 2,000 descriptors")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 2000), hard))
    held = [os.open(os.devnull, os.O_RDONLY) for _ in range(1100)]
    try:
        with Sandbox("process", timeout_s=30) as sandbox:
            program = sandbox.load(ADD)
            assert [program.call("add", {"a": 1}).content for _ in range(2)] == ["2", "2"]
    finally:
        for descriptor in held:
            os.close(descriptor)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_auto_takes_monty_where_the_source_allows_it(need_monty, need_process):
    with Sandbox(timeout_s=30) as sandbox:
        assert sandbox.load(ADD).call("add", {"a": 1}).executor == "monty"
        program = sandbox.load(NEEDS_CPYTHON)
        assert "import calendar" in program.needs_cpython
        assert program.executor == "process"
        result = program.call("f", {"year": 2024})
        assert (result.content, result.executor) == ("true", "process")


def test_auto_never_falls_back_to_less(need_monty, monkeypatch):
    monkeypatch.setattr(face, "find_bubblewrap", lambda: "")
    with Sandbox(timeout_s=30) as sandbox:
        assert sandbox.load(ADD).call("add", {"a": 1}).executor == "monty"
        with pytest.raises(UsageError, match=r"needs CPython \(import calendar.*Install bubblewrap"):
            sandbox.load(NEEDS_CPYTHON)
    with Sandbox("process") as sandbox, pytest.raises(UsageError, match="Install bubblewrap"):
        sandbox.load(ADD)


def test_without_monty_everything_goes_to_cpython(need_process, monkeypatch):
    monkeypatch.setattr(face.monty, "is_installed", lambda: False)
    with Sandbox(timeout_s=30) as sandbox:
        assert sandbox.load(ADD).call("add", {"a": 1}).executor == "process"
    with Sandbox("monty") as sandbox, pytest.raises(UsageError, match=r"palaestra\[sandbox\]"):
        sandbox.load(ADD)
    monkeypatch.setattr(face, "find_bubblewrap", lambda: "")
    with Sandbox() as sandbox, pytest.raises(UsageError, match="neither the extra 'sandbox'"):
        sandbox.load(ADD)


def test_unconfined_is_by_name_warns_and_is_refused_under_root(monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    with pytest.raises(UsageError, match="refused under root"):
        Sandbox("process-unconfined")
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.warns(RuntimeWarning, match="outside of namespaces"):
        sandbox = Sandbox("process-unconfined", timeout_s=30)
    with sandbox:
        program = sandbox.load(ADD)
        result = program.call("add", {"a": 1})
        assert (result.content, result.executor) == ("2", "process-unconfined")
        monkeypatch.setattr(os, "geteuid", lambda: 0)
        with pytest.raises(UsageError, match="refused under root"):
            program.call("add", {"a": 1})


@pytest.mark.parametrize(
    "wrong",
    [
        {"timeout_s": 0},
        {"memory_mb": 1},
        {"output_chars": 0},
        {"workers": 0},
        {"programs": 0},
        {"max_calls": 0},
        {"seed": "x"},
        {"seed": 1.5},
        {"memory_mb": 128.0},
        {"output_chars": 1000.5},
        {"recursion": 200.0},
        {"max_calls": 1.5},
        {"max_calls": True},
        {"workers": 1.5},
        {"workers": True},
        {"programs": "2"},
        {"timeout_s": "2"},
    ],
)
def test_settings_out_of_range_are_refused(wrong):
    with pytest.raises(UsageError, match=f"{next(iter(wrong))} is .*expected"):
        Sandbox(**wrong)


def test_an_unknown_executor_is_named():
    with pytest.raises(UnknownNameError, match="'montey'"):
        Sandbox("montey")
    with Sandbox() as sandbox, pytest.raises(UsageError, match="of type bytes"):
        sandbox.load(b"def f(): pass")
