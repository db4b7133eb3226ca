"""The tool that changes the code, tried on code of its own."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

pytest.importorskip("mutmut", reason="needs the extra mutants")

from tests.mutation import mapping, session, trials
from tests.mutation.__main__ import Book, confirm, report, table
from tests.mutation.changes import Change, Source, draw
from tests.mutation.mapping import _statement, mirrored
from tests.mutation.session import Session
from tests.mutation.trials import TIMED_OUT, in_child, run_tests, tell

CODE = '''
"""Words."""
LIMIT = 3


def clip(values, low: int = 0, high=9):
    """Words."""
    if low > high:
        raise ValueError(f"low is {low + 1}; expected at most " "that")
    for a, b in zip(values, values, strict=True):
        assert a == b, "never"
    done = sorted(values, reverse=False)
    text = "abc".encode("utf-8")
    log.debug("nobody reads %s", low)
    notes.debug("somebody does")
    return [
        value
        for value in done
        if low <= value < high
    ], text


class Box:
    def size(self):
        return len(self.items) + 1
'''


def source(folder: Path, code: str = CODE) -> Source:
    (folder / "m.py").write_text(code)
    return Source("m.py", folder)


def test_changes_are_of_functions_and_leave_out_what_no_test_should_notice(tmp_path: Path) -> None:
    found = source(tmp_path)
    diffs = [found.diff(change) for change in found.changes]
    text = "\n".join(diffs)
    for kept in (
        "SOMEBODY",
        "low <= value <= high",
        "low < value < high",
        "low >= high",
        "high=10",
        "low: int = 1",
        "- 1",
        "done = None",
    ):
        assert any("+" in diff and kept in diff for diff in diffs), kept
    for left_out in (
        "XX",
        "Words",
        "LIMIT",
        "that",
        "strict=None",
        "strict=False",
        "never",
        "a != b",
        "reverse=None",
        "UTF-8",
        "log.debug(low)",
        "log.debug(None",
        "NOBODY",
    ):
        assert left_out not in text.replace('"XXabcXX"', "").replace('"XXutf-8XX"', "").replace('"XXsomebody doesXX"', ""), (
            left_out
        )
    assert "raise ValueError(None)" not in text
    for change in found.changes:
        compile(found.changed(change), "m.py", "exec")
        assert found.changed(change) != CODE


def test_a_change_keeps_its_name_and_is_drawn_again_wherever_its_function_is(tmp_path: Path) -> None:
    before = source(tmp_path).changes
    after = source(tmp_path, "import os\n\n\ndef other():\n    return 1 + 1\n\n" + CODE).changes
    names = {change.name for change in before}
    assert len(names) == len(before)
    assert names < {change.name for change in after}
    drawn = [change.name for change in draw(before, 9, 3)]
    assert [change.name for change in draw(after, len(after), 3) if change.name in names][:9] == drawn
    assert drawn != [change.name for change in draw(before, 9, 4)]
    moved = {change.name: change.lines[0] for change in after}
    assert {moved[change.name] - change.lines[0] for change in before} == {6}


def test_the_lines_of_a_change_are_those_of_its_statement(tmp_path: Path) -> None:
    source(tmp_path)
    lines = CODE.splitlines()
    number = {text.strip(): i + 1 for i, text in enumerate(lines)}
    whole = (number["def clip(values, low: int = 0, high=9):"], number["], text"])
    assert _statement(tmp_path / "m.py", number["if low <= value < high"]) == (number["return ["], whole[1], whole)
    assert _statement(tmp_path / "m.py", number["if low > high:"]) == (number["if low > high:"],) * 2 + (whole,)
    assert _statement(tmp_path / "m.py", whole[0]) == (whole[0], whole[0], whole)
    assert mirrored("palaestra/envs/core/tasks.py") == "tests/envs/core/test_tasks.py"


def test_a_child_answers_is_cut_off_or_dies(tmp_path: Path) -> None:
    log = tmp_path / "child.log"
    assert in_child(lambda: {"pid": os.getpid()}, ENDLESS, log)["pid"] != os.getpid()
    assert in_child(lambda: print("seen") or 1 / 0, ENDLESS, log) is None
    assert "seen" in log.read_text()
    assert in_child(lambda: threading.Event().wait(), 0.2, log) == TIMED_OUT
    assert in_child(lambda: tell("noticed") or threading.Event().wait(), ENDLESS, log) == "noticed"


SEARCHED = """
from pathlib import Path
from hypothesis import given, settings
from hypothesis import strategies as st


@settings(max_examples=200)
@given(st.lists(st.integers()))
def test_short(values):
    with Path("examples.txt").open("a") as file:
        file.write(f"{len(values) < 4}\\n")
    assert len(values) < 4
"""


def test_an_example_that_fails_is_not_made_smaller(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "test_searched.py").write_text(SEARCHED)
    monkeypatch.chdir(tmp_path)
    told = in_child(lambda: run_tests(["test_searched.py"], "--maxfail=1"), ENDLESS, tmp_path / "child.log")
    assert told == {"code": 1, "failed": ["test_searched.py::test_short"]}
    seen = (tmp_path / "examples.txt").read_text().split()
    assert len(seen) - seen.index("False") <= 3, "it is run again, as found"


def test_a_draw_is_of_distinct_changes() -> None:
    changes = [Change(f"m.py:f:{i}", "m.py", (1, 1), i) for i in range(50)]
    assert len({change.name for change in draw(changes, 20, 0)}) == 20
    assert len(draw(changes, 100, 0)) == 50


ENDLESS = float("inf")
HANGS = "n = 1"
"""The change that makes a loop endless, which alone may be cut off: how fast a machine is decides nothing."""
CALC = """
def clip(value, low, high):
    if value < low:
        return low
    return min(value, high)


def count(n):
    while n > 0:
        n -= 1
    return n


def last(values):
    return values[-1]


def shown():
    return "as" + "is"


def unused(x):
    return x + 1
"""
TESTS = """

import pytest

from mutated_package.calc import clip, count, last, shown


def test_low():
    assert clip(1, 2, 3) == 2


def test_others():
    assert clip(2, 1, 3) == 2
    assert clip(9, 1, 3) == 3


def test_count():
    assert count(2) == 0


@pytest.fixture
def waits():
    found = []
    yield found
    while found:  # what the changed code has left may never end
        time.sleep(0.01)


def test_last(waits):
    waits.append(last([1, 2]))
    assert waits.pop() == 2 or waits.append(0)


@pytest.mark.parametrize("name", [shown()])
def test_named(name):
    assert shown() and name


def test_flaky():
    assert count(1) == 0
    assert "broken" not in open(__file__).read()[:8]
"""


def limit_s(copy: Path) -> float:
    """Seconds for the tests of the project as it is."""
    return 0.5 if f"{HANGS}\n" in (copy / "mutated_package/calc.py").read_text() else ENDLESS


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Session:
    """A session over a project of one file."""
    copy = tmp_path / "copy"
    for file, text in {
        "mutated_package/__init__.py": "",
        "mutated_package/calc.py": CALC,
        "tests/test_calc.py": TESTS,
    }.items():
        (copy / file).parent.mkdir(parents=True, exist_ok=True)
        (copy / file).write_text(text)
    (copy / "tests" / "mutation").mkdir()
    (copy / "tests" / "mutation" / "changes.py").write_text("rules")
    monkeypatch.chdir(copy)
    monkeypatch.syspath_prepend(str(copy))
    monkeypatch.setattr(trials, "HEAVY", ())
    monkeypatch.setattr(session, "in_child", lambda work, _, log: in_child(work, limit_s(copy), log))
    for module in (mapping, session):
        monkeypatch.setattr(module, "FOLDERS", ("mutated_package",))
    return Session(tmp_path, copy, 25)


def test_changes_are_killed_survive_hang_or_are_not_reached(
    project: Session, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert project.map(["tests/test_calc.py"], ENDLESS)
    assert "mapped tests/test_calc.py" in capsys.readouterr().out
    wanted = {
        "if value <= low": "survived",  # the same for every value
        "return min(None, high)": "killed",
        HANGS: "timeout",
        'return "AS" + "is"': "survived",  # only the name of a case is another
        "return values[+1]": "survived",  # the second of two
        "return values[-2]": "killed",  # by a test that is never torn down
        "return x - 1": "not reached",
    }
    book = Book(tmp_path / "tried.jsonl")
    drawn = [change for change in project.draw(1000, 0) if _added(project, change) in wanted]
    for change in drawn:
        book.add(project.trial(change))
    ended = {_added(project, change): book.rows[change.name]["ended"] for change in drawn}
    assert ended == wanted
    assert (tmp_path / "copy/mutated_package/calc.py").read_text() == CALC
    assert Book(tmp_path / "tried.jsonl").rows == book.rows
    lines, total = table([change.name for change in drawn], book)
    assert total == {"survived": 3, "killed": 2, "timeout": 1, "not reached": 1}
    assert "| all | 7 | 2 | 1 | 3 | 1 | 0 | 0 |" in lines[-1]
    assert report([change.name for change in drawn], book, 0.4) == 0
    assert report([change.name for change in drawn], book, 0.6) == 1
    assert "3 of 7 changes noticed: 42.9%" in capsys.readouterr().out


def test_without_a_map_the_nearest_test_files_are_run_whole(project: Session, tmp_path: Path) -> None:
    (tmp_path / "copy/tests/test_aside.py").write_text(
        "from mutated_package.calc import unused\n\n\ndef test_u(): unused(1)\n"
    )
    near_by = Session(tmp_path, tmp_path / "copy", 25, near=["tests/test_aside.py", "tests/test_calc.py"])
    wanted = {"return min(None, high)": "killed", "return x - 1": "survived", 'return "AS" + "is"': "survived"}
    drawn = [change for change in near_by.draw(1000, 0) if _added(near_by, change) in wanted]
    assert {_added(near_by, change): near_by.trial(change)["ended"] for change in drawn} == wanted
    assert (tmp_path / "copy/mutated_package/calc.py").read_text() == CALC


@pytest.mark.parametrize(("stages", "ended"), [(None, "killed"), (2, "killed"), (1, "survived")])
def test_of_the_nearest_test_files_those_of_the_first_stages_can_be_run_alone(
    project: Session, tmp_path: Path, stages: int | None, ended: str
) -> None:
    (tmp_path / "copy/tests/test_aside.py").write_text(
        "from mutated_package.calc import unused\n\n\ndef test_u(): assert unused(1) == 2\n"
    )
    near_by = Session(tmp_path, tmp_path / "copy", 25, near=["tests/test_aside.py", "tests/test_calc.py"], stages=stages)
    (change,) = (change for change in near_by.draw(1000, 0) if _added(near_by, change) == "return x - 1")
    assert near_by.trial(change)["ended"] == ended


def test_near_are_the_mirrored_file_and_those_that_name_the_module() -> None:
    texts = {
        "tests/envs/core/test_tasks.py": "",
        "tests/envs/core/test_draws.py": "from palaestra.envs.core.tasks import Task",
        "tests/envs/core/test_other.py": "from palaestra.envs.core.tasks_of import Task",
        "tests/cli/test_main.py": "import palaestra.envs.core.tasks",
        "tests/envs/core/test_user.py": "",
        "palaestra/envs/core/user.py": "from palaestra.envs.core.tasks import Task",
        "palaestra/envs/core/untested.py": "from palaestra.envs.core.tasks import Task",
    }
    near = mapping.near("palaestra/envs/core/tasks.py", texts)
    beside = {"tests/envs/core/test_draws.py", "tests/envs/core/test_user.py"}
    assert [near[0], {*near[1]}, near[2]] == [["tests/envs/core/test_tasks.py"], beside, ["tests/cli/test_main.py"]]
    users = {f"palaestra/envs/core/a{i}.py": "palaestra.envs.core.tasks" for i in range(9)}
    mirrors = {f"tests/envs/core/test_a{i}.py": "" for i in range(9)}
    own = {"tests/envs/core/test_z.py": "palaestra.envs.core.tasks"}
    (beside_first,) = mapping.near("palaestra/envs/core/tasks.py", {**users, **mirrors, **own})
    assert beside_first[0] == "tests/envs/core/test_z.py", "what names the file comes before what tests its users"
    many = {f"tests/envs/core/test_{i}.py": "palaestra.envs.core" for i in range(9)}
    assert [len(stage) for stage in mapping.near("palaestra/envs/core/__init__.py", many)] == [mapping.MOST_NEAR]
    assert mapping.near("palaestra/envs/core/tasks.py", many) == []


def test_a_machine_that_is_too_busy_for_the_tests_alone_has_not_tried_a_change(
    project: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.map(["tests/test_calc.py"], ENDLESS)
    monkeypatch.setattr(session, "in_child", lambda *_: TIMED_OUT)
    change = next(change for change in project.draw(1000, 0) if ":clip:" in change.name)
    assert project.trial(change)["ended"] == "not tried"


def test_what_could_not_be_tried_is_tried_again_after_all_others(tmp_path: Path) -> None:
    book, changes = Book(tmp_path / "tried.jsonl"), [Change(f"m.py:f:{i}", "m.py", (1, 1), i) for i in range(5)]
    for i in (0, 3):
        book.add({"name": f"m.py:f:{i}", "ended": "not tried"})
    assert [change.index for change in book.new_first(changes)] == [1, 2, 4, 0, 3]


def test_a_kill_by_a_test_that_fails_without_a_change_does_not_count(project: Session, tmp_path: Path) -> None:
    book = Book(tmp_path / "tried.jsonl")
    for name, by in (("a", "tests/test_calc.py::test_low"), ("b", "tests/test_calc.py::test_flaky")):
        book.add({"name": name, "diff": "", "ended": "killed", "by": by})
    (tmp_path / "copy/tests/test_calc.py").write_text("#broken\n" + TESTS)
    confirm(["a", "b"], book, project)
    assert {name: row["ended"] for name, row in book.rows.items()} == {"a": "killed", "b": "not tried"}
    assert report(["a", "b"], book, 0.0) == 2


def test_what_is_run_at_the_import_is_for_every_test_of_its_function_or_file(project: Session, tmp_path: Path) -> None:
    lazy = "def test_first():\n    import mutated_package.calc\n"
    (tmp_path / "copy/tests/test_aside.py").write_text(lazy)
    (tmp_path / "copy/mutated_package/calc.py").write_text(
        CALC.replace("def clip(value, low, high)", "def clip(value, low, high=4)")
    )
    project.map(["tests/test_aside.py", "tests/test_calc.py"], ENDLESS)
    head = next(change for change in project.draw(1000, 0) if "high=5" in _added(project, change))
    names = {name.partition("::")[2] for name in project._map.tests_of(head)}
    assert {"test_low", "test_others"} <= names


def test_only_what_has_changed_is_mapped_again(project: Session, tmp_path: Path) -> None:
    tests = ["tests/test_calc.py"]
    assert project._map.outdated(tests) == tests
    project.map(tests, ENDLESS)
    assert mapping.TestMap(tmp_path / "map.json", tmp_path / "copy").outdated(tests) == []
    (tmp_path / "copy/mutated_package/calc.py").write_text(CALC + "# more\n")
    assert project._map.outdated(tests) == tests


def _added(project: Session, change: Change) -> str:
    return project._source(change.file).diff(change).splitlines()[-1].removeprefix("+").strip().removesuffix(":")
