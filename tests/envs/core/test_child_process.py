from __future__ import annotations

import os
import sys
import threading
import time

import pytest

from palaestra.envs.core import child_process
from palaestra.envs.core.child_process import ChildProcess
from palaestra.errors import EnvironmentFault, UsageError
from tests.envs.processes import counts, is_running, needs_proc, nothing_new, wait_for

pytestmark = pytest.mark.skipif(os.name != "posix", reason="the programs of these tests are those of a POSIX system")


def program(code: str) -> list[str]:
    return [sys.executable, "-I", "-S", "-c", code]


ECHO = program("import sys\nfor line in sys.stdin: print(line.rstrip().upper(), flush=True)")


@pytest.fixture
def start():
    started = []

    def run(command, **options):
        started.append(ChildProcess(command, **options))
        return started[-1]

    before = counts()
    yield run
    for child in started:
        child.kill()
    if sys.platform == "linux":
        wait_for(lambda: nothing_new(before))  # timers of the tests end as well


def test_a_line_is_answered_with_a_line(start):
    child = start(ECHO)
    assert [child.ask(line) for line in ("one", "", "zwölf €", "a\tb")] == ["ONE", "", "ZWÖLF €", "A\tB"]
    assert child.is_alive()


def test_long_lines_and_several_answers_in_one_chunk_are_told_apart(start):
    child = start(program("import sys\nfor line in sys.stdin: print(line.rstrip() * 3000, 'next', sep='\\n', flush=True)"))
    assert child.ask("x" * 1000) == "x" * 3_000_000
    assert child.ask("y") == "next"
    assert child.ask("z") == "y" * 3000


def test_a_line_with_a_break_is_refused_before_it_is_sent(start):
    child = start(ECHO)
    with pytest.raises(UsageError, match="holds a line break"):
        child.ask("two\nlines")
    assert child.ask("one") == "ONE"


def test_variables_and_folder_are_those_asked_for(start, tmp_path):
    code = "import os, sys\nsys.stdin.readline(); print(os.environ['WHO'], os.getcwd(), 'PATH' in os.environ, flush=True)"
    assert start(program(code), env={"WHO": "me"}, cwd=tmp_path).ask("") == f"me {tmp_path} True"


def test_a_program_that_is_not_there_is_told_and_leaves_nothing_open(start):
    with pytest.raises(FileNotFoundError, match="no-such-program"):
        start(["no-such-program"])


def test_the_death_of_the_child_says_how_it_ended_and_what_it_said(start):
    code = "import sys\nsys.stdin.readline(); print('x' * 5000, 'out of rope', file=sys.stderr, flush=True); sys.exit(7)"
    child = start(program(code))
    with pytest.raises(EnvironmentFault, match=r"ended with exit code 7\. It said: x+ out of rope Call reset") as caught:
        child.ask("go")
    assert len(str(caught.value)) < 1000
    assert not child.is_alive()
    with pytest.raises(EnvironmentFault, match="was killed"):
        child.ask("again")


def test_an_answer_without_end_is_a_fault(start, monkeypatch):
    monkeypatch.setattr(child_process, "MAX_LINE_BYTES", 10_000)
    child = start(program("import sys\nsys.stdin.readline()\nwhile True: sys.stdout.write('x' * 1000)"))
    with pytest.raises(EnvironmentFault, match=r"does not answer \(it sent \d+ bytes without a line's end\)"):
        child.ask("go")


def test_an_answer_may_be_as_long_as_the_limit(start, monkeypatch):
    monkeypatch.setattr(child_process, "MAX_LINE_BYTES", 10_000)
    code = (
        "import sys, time\nsys.stdin.readline()\nprint('x' * 10_000, end='', flush=True); time.sleep(0.2); print(flush=True)"
    )
    assert start(program(code)).ask("go") == "x" * 10_000


def test_standard_error_neither_blocks_nor_grows_without_bound(start, monkeypatch):
    monkeypatch.setattr(child_process, "MAX_ERROR_BYTES", 50_000)
    code = "import sys\nfor line in sys.stdin: print('x' * 9999, file=sys.stderr, flush=True); print('ok', flush=True)"
    child = start(program(code))
    for _ in range(600):
        assert child.ask("go") == "ok"
    assert os.fstat(child._errors.fileno()).st_size < 256 * 10_000 + 50_000


@needs_proc
def test_killing_frees_a_call_that_hangs_and_ends_what_the_child_has_started(start):
    code = (
        "import subprocess, sys, time\n"
        "helper = subprocess.Popen([sys.executable, '-I', '-S', '-c', 'import time; time.sleep(600)'])\n"
        "sys.stdin.readline(); print(helper.pid, flush=True)\n"
        "time.sleep(600)"
    )
    child = start(program(code))
    helper = int(child.ask("who?"))
    assert is_running(helper)
    threading.Timer(0.1, child.kill).start()
    with pytest.raises(EnvironmentFault, match="was killed"):
        child.ask("hang")
    wait_for(lambda: not is_running(helper))
    child.kill()


@needs_proc
def test_a_launcher_that_ended_takes_along_what_it_has_started(start):
    code = (
        "import subprocess, sys\n"
        "helper = subprocess.Popen([sys.executable, '-I', '-S', '-c', 'import time; time.sleep(600)'])\n"
        "print(helper.pid, flush=True)"
    )
    child = start(program(code))
    helper = int(child.ask("who?"))
    wait_for(lambda: not child.is_alive())
    wait_for(lambda: not is_running(helper))


def test_closing_lets_the_child_end_by_itself_or_kills_it(start, monkeypatch, tmp_path):
    monkeypatch.setattr(child_process, "GRACE_S", 0.3)
    file = tmp_path / "end"
    orderly = start(program(f"import sys\nfor line in sys.stdin: print(line, end='', flush=True)\nopen({str(file)!r}, 'w')"))
    orderly.ask("hello")
    monkeypatch.setattr(child_process, "GRACE_S", 20.0)
    orderly.close()
    assert file.exists()
    monkeypatch.setattr(child_process, "GRACE_S", 0.1)
    deaf = start(program("import time\nprint('ready', flush=True)\ntime.sleep(600)"))
    deaf.ask("hello")
    started = time.monotonic()
    deaf.close()
    deaf.kill()
    assert time.monotonic() - started < 10
    assert not deaf.is_alive()


def test_a_line_is_sent_whole_however_little_the_pipe_takes_at_once(start):
    child = start(ECHO)
    pipe, sent = child._input, []

    class Narrow:
        def write(self, data):
            sent.append(pipe.write(data[:3]))
            return sent[-1]

        def close(self):
            pipe.close()

    child._input = Narrow()
    assert child.ask("a line of words") == "A LINE OF WORDS"
    assert sent == [3, 3, 3, 3, 3, 1]
    child._input = pipe
