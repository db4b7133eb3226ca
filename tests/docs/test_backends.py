from __future__ import annotations

import dataclasses
import inspect
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

from palaestra.agents import Backend, Generation, LLMAgent, Request, Sampling, evaluate, run_sync
from palaestra.agents.backends import per_loop, responses, wire
from palaestra.agents.backends.registry import ENTRY_POINT_GROUP
from palaestra.agents.core import Tokens
from palaestra.errors import ModelError
from palaestra.types import Message, Usage

PAGE = (Path(__file__).parents[2] / "docs" / "backends.md").read_text(encoding="utf-8")
SECTION = PAGE.split("## Add a backend", 1)[1]


def rows(heading: str) -> dict[str, str]:
    """Return the first and the second column of a table of the section."""
    table = SECTION.split(f"| {heading} |", 1)[1].split("\n\n", 1)[0]
    return {cells[1].strip(): cells[2] for cells in (line.split("|") for line in table.splitlines()[2:])}


@pytest.fixture
def acme() -> Any:
    names: dict[str, Any] = {}
    (block,) = re.findall(r"```python\n(.*?)```", SECTION, re.DOTALL)
    exec(compile(block, "docs/backends.md", "exec"), names)
    return names["AcmeBackend"]


def test_the_backend_on_the_page_answers_fails_and_plays(acme: Any) -> None:
    asked: list[Any] = []

    async def send(body: Any) -> Any:
        asked.append(body)
        usage = {"prompt_tokens": 11, "completion_tokens": 2}
        return {
            "choices": [{"message": {"role": "assistant", "content": "inventory"}, "finish_reason": "stop"}],
            "usage": usage,
        }

    backend = acme("tiny", send=send)
    assert isinstance(backend, Backend)
    request = Request((Message("user", "What now?"),), sampling=Sampling(temperature=0.5))
    generation = run_sync(backend.generate(request))
    assert (generation.message.content, generation.usage.prompt_tokens) == ("inventory", 11)
    assert (asked[0]["model"], asked[0]["temperature"]) == ("tiny", 0.5)
    done = evaluate("palaestra/TextCraft-v0", LLMAgent(backend, format="text"), n=2, max_turns=2)
    assert (done.summary.errors, done.summary.usage.calls) == ({}, 4)

    async def lost(body: Any) -> Any:
        raise ConnectionResetError("gone")

    with pytest.raises(ModelError, match="acme:tiny gave no answer: gone") as caught:
        run_sync(acme("tiny", send=lost).generate(request))
    assert caught.value.retryable


def test_the_fields_on_the_page_are_all_there_are() -> None:
    for kind in (Request, Generation):
        assert [name.strip("`") for name in rows(f"`{kind.__name__}`")] == [one.name for one in dataclasses.fields(kind)]
    told = rows("`Generation`")
    for field, kind in {"`usage`": Usage, "`tokens`": Tokens}.items():
        named = set(re.findall(r"`([a-z_]+)(?:=1)?`", told[field]))
        assert named
        assert named <= {one.name for one in dataclasses.fields(kind)}
    sampling = re.findall(r"`(\w+)`", rows("`Request`")["`sampling`"])
    assert sampling == [one.name for one in dataclasses.fields(Sampling)]


def test_the_helpers_on_the_page_exist() -> None:
    homes = {"wire": wire, "responses": responses, "per_loop": per_loop}
    shown = re.findall(r"`(\w+)\.(\w+)\(([^)]*)\)`", "\n".join(rows("helper")))
    assert len(shown) == 7
    for home, name, parameters in shown:
        found = list(inspect.signature(getattr(homes[home], name)).parameters)
        assert parameters.split(", ") == found[: parameters.count(",") + 1], name


def test_the_entry_point_group_is_the_one_that_is_read() -> None:
    (table,) = (tomllib.loads(block) for block in re.findall(r"```toml\n(.*?)```", SECTION, re.DOTALL))
    assert list(table["project"]["entry-points"]) == [ENTRY_POINT_GROUP]
