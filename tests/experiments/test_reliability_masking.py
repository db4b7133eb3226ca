"""The attacks that take away what protects: calls that mask, and parts of a restored state."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from experiments.reliability.futures import difference
from experiments.reliability.masked_calls import ROOT, calls_of
from palaestra.envs.agentgym.maze.env import MazeEnv

CODE = """
from palaestra.agents.masking import check_unmasked, masked, remember_secrets


class Box:
    def noticed(self, text):
        return masked(text), [masked(one) for one in [text]][0]


def survived(text):
    remember_secrets({"api_key": text})
    check_unmasked("it", text)


def unused(text):
    return masked(text)
"""
TESTS = """
from code_that_masks.code import Box, survived


def test_box():
    assert "mk9" not in Box().noticed("http://me:mk9-passw0rd@h/")[1]


def test_survived():
    survived("mk9-12345")
"""
PROGRAM = """
import json, sys
from pathlib import Path
from experiments.reliability.masked_calls import Taken, calls_of, try_all
root = Path(sys.argv[1])
taken = Taken(root)
rows = list(try_all(taken, calls_of(root, "code_that_masks"), [str(root / "test_code.py")], 5))
print("\\n", json.dumps([[row["call"].partition(":")[2], row["ended"]] for row in rows]))
"""


def test_a_call_that_masks_is_taken_away_alone(tmp_path: Path) -> None:
    (tmp_path / "code_that_masks").mkdir()
    (tmp_path / "code_that_masks/code.py").write_text(CODE)
    (tmp_path / "test_code.py").write_text(TESTS)
    path = os.pathsep.join([str(tmp_path), *sys.path])
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(tmp_path)],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1]) == [
        ["Box.noticed:masked", "survived"],
        ["Box.noticed:masked 2", "noticed"],
        ["survived:remember_secrets", "survived"],
        ["survived:check_unmasked", "survived"],
        ["unused:masked", "not reached"],
    ]


def test_the_calls_of_the_package_have_a_name_each() -> None:
    calls = calls_of(ROOT)
    assert len(set(calls.values())) == len(calls) > 50


def test_a_future_that_differs_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    assert difference("palaestra/Maze-v0", {}, 3, 0.5) == ""
    restore = MazeEnv.restore

    def restored_by_half(env: MazeEnv, snapshot: object) -> None:
        restore(env, snapshot)  # type: ignore[arg-type]
        env.step("move up")

    monkeypatch.setattr(MazeEnv, "restore", restored_by_half)
    assert difference("palaestra/Maze-v0", {}, 3, 0.5) == "seed 3: a restored episode has another snapshot"
