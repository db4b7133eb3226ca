"""The page of the first hour: its agents play, and its table has what people are told."""

from __future__ import annotations

import logging
import re
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium
import pytest

from palaestra.algorithms.run.recipe import load_recipe
from palaestra.cli.main import main
from palaestra.errors import UsageError
from tests.agents.answering_server import AnsweringServer, chat

PAGE = (Path(__file__).parents[2] / "docs" / "first_hour.md").read_text(encoding="utf-8")
TABLE = dict(re.findall(r"^\| `([^`]+)`[^|]* \| ([^|]+) \|$", PAGE, re.MULTILINE))
CRAFT = ("evaluate", "--env", "palaestra/TextCraft-v0", "--max-turns", "2", "--retries", "0")


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with the page's module."""
    (tmp_path / "my_agents.py").write_text(re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)[0], encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.delitem(sys.modules, "my_agents", raising=False)
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    return tmp_path


@pytest.fixture
def told(capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Run a command and return everything that it says."""

    def run(*words: str) -> str:
        capsys.readouterr()
        main(list(words))
        return " ".join("".join(capsys.readouterr()).split())

    return run


def test_the_agents_of_the_page_play(place: Path, told: Callable[..., str]) -> None:
    lines = re.findall(r"^palaestra evaluate .*my_agents:(\w+)(?: --option \"(.*?)\")?", PAGE, re.MULTILINE)
    assert [name for name, _ in lines] == ["explorer", "Crafter", "birch"]
    for name, option in lines:
        said = told(*CRAFT, "--model", f"my_agents:{name}", *(("--option", option) if option else ()), "-n", "2")
        assert "Report" in said
        assert "palaestra: error" not in said


def test_the_table_has_what_people_are_told(place: Path, told: Callable[..., str], caplog: pytest.LogCaptureFixture) -> None:
    said: list[str] = []
    with AnsweringServer() as server:
        url = server.url.partition("#")[0]
        server.answer = lambda body: (404 if body["model"] == "nope" else 401, {"error": {"message": "no"}})
        said += [told(*CRAFT, "--model", f"{url}#{name}", "-n", "10") for name in ("nope", "good")]
        said.append(told(*CRAFT, "--model", url, "-n", "1"))
        server.answer = lambda body: chat("eleven")
        said.append(told(*CRAFT, "--model", "http://127.0.0.1:9/v1#none", "-n", "1"))
    said.append(told(*CRAFT, "--model", "openai:NAME", "-n", "1"))
    said.append(told(*CRAFT, "--model", "my_agents:explorer", "-n", "1000"))
    said += [told(*CRAFT, "--model", model, "-n", "1") for model in ("my_agents", "no_agents:Crafter")]
    said.append(told("evaluate", "--env", "palaestra/Textcraft-v0", "--model", "expert"))
    with pytest.raises(UsageError) as async_:
        gymnasium.make_vec("palaestra/TextCraft-v0", num_envs=2, vectorization_mode="async")
    said.append(str(async_.value))
    env: Any = gymnasium.make("number_guess/NumberGuess-v0")
    env.reset(seed=0)
    said.append(env.step("eleven")[0])
    told("init", "recipe", "toys/Backwards-v0")
    quick = [
        "model.hidden_size=16",
        "model.num_layers=1",
        "model.num_heads=2",
        "model.corpus_episodes=4",
        "model.vocab_size=400",
    ]
    quick += ["evaluation.n=2", "evaluation.every=0", "sft.episodes=1", "sft.lr=1e-9", "grpo.steps=1", "grpo.group_size=2"]
    with caplog.at_level(logging.WARNING):
        told("train", "backwards.toml", *(word for one in quick for word in ("--set", one)))
    said.append(caplog.text)
    for words in TABLE:
        assert any(words in one for one in said), words
    assert len(TABLE) == 12


def test_the_commands_of_the_page_name_what_there_is(place: Path, told: Callable[..., str]) -> None:
    assert "wrote" in told("init", "recipe", "palaestra/Desk-v0", "--set", "difficulty=easy")
    lines = re.findall(r"^palaestra train desk.toml(.*)$", PAGE, re.MULTILINE)
    assert len(lines) == 2
    for line in lines:
        load_recipe(place / "desk.toml", [word for word in shlex.split(line) if word != "--set"])


def test_the_table_names_the_moves_that_a_stopped_run_prints(place: Path, told: Callable[..., str]) -> None:
    with AnsweringServer() as server:
        server.answer = lambda body: (404, {"error": {"message": "no"}})
        said = told(*CRAFT, "--model", server.url.partition("#")[0].removesuffix("/v1") + "#nope", "-n", "20", "--run", "one")
    assert re.search(r"go on: palaestra evaluate --run one --retry-errors", said)
    assert re.search(r"another model or address: palaestra evaluate .* --run one-2 ", said)
    assert "The base URL has no /v1" in said
    assert "a new `--run`" in TABLE["answered 404"]
    assert "--retry-errors" in TABLE["answered 401"]
    assert "--retry-errors" in TABLE["Is the server running?"]
