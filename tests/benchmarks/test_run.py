import json

import pytest

from benchmarks import run as harness
from benchmarks.rows import Row, cpu_us

KEPT = Row("step", 1.0, "µs", "Gymnasium", 2.0, "<= 1.5x", True)
BROKEN = Row("size", 1234.5, "MB", "floor", 100.0, "<= 100 MB", False)
SHOWN = Row("other", 0.01234, "s", "GEM", None)


@pytest.fixture
def benchmarks_in(tmp_path, monkeypatch):
    """Let the harness find benchmarks that return these rows, or raise."""

    def put(**rows: list[Row] | Exception) -> None:
        class Module:
            def __init__(self, name: str) -> None:
                self.name = name

            def run(self) -> list[Row]:
                result = rows[self.name]
                if isinstance(result, Exception):
                    raise result
                return result

        for name in rows:
            (tmp_path / f"{name}.py").write_text("\ndef run() -> list[Row]:\n    ...\n")
        monkeypatch.setattr(harness, "FOLDER", tmp_path)
        monkeypatch.setattr(harness.importlib, "import_module", lambda name: Module(name.removeprefix("benchmarks.")))

    return put


def test_benchmarks_are_found_by_their_run_function():
    found = harness.names()
    assert {"env_step", "vector_step", "import_time", "install_size"} <= set(found)
    assert {"rows", "run", "trivial", "__init__"}.isdisjoint(found)


def test_the_table_has_the_peer_beside_each_figure():
    lines = harness.table([KEPT, BROKEN, SHOWN]).splitlines()
    assert lines[2] == "| step | 1 µs | Gymnasium | 2 µs | 0.50x | <= 1.5x | yes |"
    assert lines[3] == "| size | 1,234 MB | floor | 100 MB | 12.35x | <= 100 MB | NO |"
    assert lines[4] == "| other | 0.0123 s | GEM | not installed |  |  |  |"


def test_a_broken_promise_is_the_exit_code(benchmarks_in, capsys):
    benchmarks_in(good=[KEPT, SHOWN], bad=[BROKEN])
    assert harness.main(["--only", "good"]) == 0
    assert harness.main([]) == 1
    assert "| size |" in capsys.readouterr().out


def test_a_failing_benchmark_does_not_stop_the_others(benchmarks_in, capsys):
    benchmarks_in(a_fails=RuntimeError("no server"), b=[KEPT])
    assert harness.main([]) == 1
    printed = capsys.readouterr()
    assert "| step |" in printed.out
    assert "no server" in printed.err
    assert "'a_fails' failed" in printed.err


def test_json_holds_every_field(benchmarks_in, capsys):
    benchmarks_in(good=[KEPT])
    assert harness.main(["--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"rows": [KEPT.to_json()], "failed": []}


def test_an_unknown_name_is_told_with_the_nearest(capsys):
    assert harness.main(["--only", "env_steps"]) == 2
    assert "Did you mean 'env_step'?" in capsys.readouterr().err


def test_cpu_us_measures_loops_side_by_side():
    def work(number: int) -> None:
        for _ in range(number):
            sum(range(50))

    def twice(number: int) -> None:
        work(2 * number)

    times = cpu_us({"once": work, "twice": twice}, number=300, rounds=9)
    assert 0 < times["once"] < times["twice"]
