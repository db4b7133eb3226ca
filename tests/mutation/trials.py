"""Runs of tests in processes that are forked from one that has imported what is heavy: torch is loaded once, not 300 times.

The parent imports other people's packages only. Each child imports the project, changed or not, and runs the tests it is told.
"""

from __future__ import annotations

import ctypes
import importlib
import json
import os
import resource
import signal
import sys
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

HEAVY = (
    *("pytest", "hypothesis", "hypothesis.extra.numpy", "pytest_asyncio.plugin", "coverage", "numpy", "pydantic"),
    *("gymnasium", "pettingzoo", "jinja2", "rich.console", "typer", "aiohttp.web", "openai", "anthropic", "google.genai"),
    *("torch", "torch.nn", "torch.optim", "tokenizers", "transformers.models.auto", "transformers.generation"),
    *("transformers.tokenization_utils_tokenizers", "datasets", "scipy.stats", "jsonschema", "jsonschema_rs"),
)
ARGUMENTS = (
    "-x",
    "-q",
    "--no-header",
    "-p",
    "no:cacheprovider",
    "-p",
    "no:xdist",
    "-m",
    "not slow",
    "--tb=short",
    "-W",
    "ignore::pytest.PytestWarning",
)
MEMORY = 12 << 30
TIMED_OUT = -1
PR_SET_PDEATHSIG = 1


def load_heavy() -> None:
    """Import what is heavy and not ours, as far as it is installed."""
    for name in HEAVY:
        with suppress(ImportError):
            importlib.import_module(name)


def in_child(work: Callable[[], Any], timeout_s: float, log: Path) -> Any:
    """Return the result of `work` in a forked process, as JSON; TIMED_OUT if it took too long, None if it died.

    Args:
        work: What is called there.
        timeout_s: Seconds after which the process and all that it started are killed.
        log: Where everything that it prints goes.
    """
    answer = log.with_suffix(".json")
    answer.unlink(missing_ok=True)
    pid = os.fork()
    if pid == 0:
        _child(work, log, answer)
    until, ended = time.monotonic() + timeout_s, False
    while not (ended or answer.exists()) and time.monotonic() < until:
        ended = os.waitpid(pid, os.WNOHANG)[0] == pid
        time.sleep(0.02)
    with suppress(ProcessLookupError):  # also what a test has left running
        os.killpg(pid, signal.SIGKILL)
    if not ended:
        os.waitpid(pid, 0)
        if not answer.exists():
            return TIMED_OUT
    try:
        return json.loads(answer.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def _child(work: Callable[[], Any], log: Path, answer: Path) -> None:
    """Do the work of a child, and end it without the parent's exit handlers."""
    code = 1
    try:
        os.setsid()
        if sys.platform == "linux":  # a child in a session of its own would outlive a parent that is killed
            ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        resource.setrlimit(resource.RLIMIT_DATA, (MEMORY, MEMORY))
        out = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        nothing = os.open(os.devnull, os.O_RDONLY)
        for source, target in ((nothing, 0), (out, 1), (out, 2)):
            os.dup2(source, target)
        sys.stdout, sys.stderr = open(1, "w", closefd=False), open(2, "w", closefd=False)  # noqa: SIM115
        _answers[:] = [answer]
        tell(work())
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        with suppress(Exception):
            sys.stdout.flush()
        os._exit(code)


_answers: list[Path] = []


def tell(value: Any) -> None:
    """Give the parent its answer, in a child: the first counts, and the parent ends this process when it has it."""
    made = _answers[0].with_suffix(".new")
    made.write_text(json.dumps(value), encoding="utf-8")
    made.replace(_answers[0])


class Reports:
    """A plugin that keeps how long each test took, and which failed first.

    Args:
        started: Told the id of each test before it begins.
        failing: Told the id of each test that fails, before anything is torn down.
    """

    def __init__(
        self, started: Callable[[str], Any] = lambda name: None, failing: Callable[[str], Any] = lambda name: None
    ) -> None:
        """Keep nothing yet."""
        self.seconds: dict[str, float] = {}
        self.failed: list[str] = []
        self._started, self._failing = started, failing

    def pytest_sessionstart(self) -> None:
        """Have no failing example made smaller, which can take minutes: that one fails is all that is asked."""
        from hypothesis import Phase, settings

        now = settings.get_profile(settings.get_current_profile_name())
        settings.register_profile("mutation", now, phases=(Phase.explicit, Phase.generate))
        settings.load_profile("mutation")

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        """Say which test begins."""
        self._started(nodeid)

    def pytest_runtest_logreport(self, report: Any) -> None:
        """Add up the times of a test."""
        self.seconds[report.nodeid] = self.seconds.get(report.nodeid, 0.0) + report.duration
        if report.failed:
            self.failed.append(report.nodeid)
            self._failing(report.nodeid)

    def pytest_collectreport(self, report: Any) -> None:
        """Keep a file that cannot be imported as failed."""
        if report.failed:
            self.failed.append(report.nodeid)


def run_tests(names: list[str], *options: str) -> dict[str, Any]:
    """Run tests in this process; return the exit code and those that failed, by default only the first.

    The first that fails is told at once where it is all that is asked for: what the changed code has left may never end.
    """
    import pytest

    reports = Reports() if options else Reports(failing=lambda name: tell({"code": 1, "failed": [name]}))
    code = pytest.main([*ARGUMENTS, *options, *names], plugins=[reports])
    return {"code": int(code), "failed": reports.failed}
