"""Wording by a language model: queries, documents of tools, texts to read; each reply is held to the rules of its way.

It fails closed: an item of which no reply passed is refused, with a record of every request.
"""

from __future__ import annotations

import copy
import tomllib
from collections.abc import MutableMapping
from functools import cache
from importlib.resources import files
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from palaestra.envs.critic.evolution.harder_tools import document_problems
from palaestra.envs.critic.evolution.long_context import context_problems, insert, reading
from palaestra.envs.critic.evolution.noisy_query import query_problems
from palaestra.envs.critic.evolution.parts import (
    Refused,
    golden_names,
    names_in,
    protected_names,
    query_at,
    with_query,
    with_tools,
)
from palaestra.envs.critic.record import Record
from palaestra.envs.judging.asking import Asker, Audit, Complete, Dropped, Problem, prompt, read_as
from palaestra.types import Json

_Text = Annotated[str, Field(min_length=1, max_length=20_000)]


class _Form(BaseModel):
    """What all replies share."""

    model_config = ConfigDict(extra="forbid", strict=True)


class _Query(_Form):
    """Another wording of a query."""

    query: _Text


class _Words(_Form):
    """Descriptions of a tool and of its parameters."""

    description: _Text
    parameters: dict[str, _Text] = Field(default_factory=dict)


class _Tools(_Form):
    """Descriptions by the names of tools."""

    tools: dict[str, _Words]


class _Reading(_Form):
    """A text, a question about it, the answer."""

    text: Annotated[str, Field(min_length=200, max_length=20_000)]
    question: _Text
    answer: _Text


class Rewriter:
    """Words items in other ways by a language model.

    Args:
        complete: From chat messages (`role`, `content`) to the text of a reply. It may raise `ModelError`; a `BudgetError`
            ends the work.
        name: Name of the model and its settings; part of the cache's keys.
        repairs: How often a reply is sent back with what is wrong with it.
        regenerations: How often a wording is begun again after that.
        cache: Replies that passed, by key; filled here. A rerun asks only for what did not pass.

    Attributes:
        audits: The record of every item and way, in order.
    """

    def __init__(
        self,
        complete: Complete,
        *,
        name: str = "",
        repairs: int = 2,
        regenerations: int = 1,
        cache: MutableMapping[str, str] | None = None,
    ) -> None:
        """Keep the model; nothing is asked yet."""
        self._asker = Asker(complete, name=name, repairs=repairs, regenerations=regenerations, cache=cache)
        self.audits: list[Audit] = []

    def noisy_query(self, record: Record) -> Record:
        """Return an item with a noisy query.

        Raises:
            Refused: If no reply passed.
        """
        query = record.messages[query_at(record)]["content"]

        def read(value: Json) -> str:
            found = read_as(_Query, value).query
            _expect(query_problems(record, found) + (["The query is the same as before."] if found == query else []))
            return found

        data = {"query": query, "verbatim": names_in(query, protected_names(record))}
        return with_query(record, self._ask(record, "noisy_query", data, read))

    def harder_tools(self, record: Record) -> Record:
        """Return an item whose tools are described in other words.

        Raises:
            Refused: If no reply passed.
        """

        def read(value: Json) -> list[dict[str, Json]]:
            tools = _reworded(record.tools, read_as(_Tools, value).tools)
            _expect(document_problems(record.tools, tools) + (["Nothing is different."] if tools == record.tools else []))
            return tools

        shown = {}
        for function in (tool["function"] for tool in record.tools):
            parameters = {
                name: one["description"]
                for name, one in function["parameters"]["properties"].items()
                if isinstance(one, dict) and one.get("description")
            }
            shown[function["name"]] = {"description": function.get("description", ""), "parameters": parameters}
        return with_tools(record, self._ask(record, "harder_tools", {"tools": shown}, read))

    def long_context(self, record: Record) -> tuple[Record, dict[str, int]]:
        """Return an item with a text, a question and an answer in front of its query, and how many messages they are.

        Raises:
            Refused: If no reply passed.
        """

        def read(value: Json) -> list[dict[str, str]]:
            found = read_as(_Reading, value)
            dialogue = reading(found.text, found.question, found.answer, instructions()["ask"])
            _expect(context_problems(record, dialogue))
            return dialogue

        return insert(record, self._ask(record, "long_context", {"forbidden": [*golden_names(record)]}, read))

    def _ask(self, record: Record, way: str, data: dict[str, Any], read: Any) -> Any:
        """Ask for a wording, and keep the record."""
        audit = Audit(f"{record.id} {way}")
        self.audits.append(audit)
        try:
            found = self._asker.ask(audit, way, prompt(instructions()[way], data), read)
        except Dropped as reason:
            audit.outcome, audit.reason = "dropped", str(reason)
            raise Refused(str(reason)) from None
        audit.outcome = "kept"
        return found


@cache
def instructions() -> dict[str, str]:
    """Return the instructions of the model for each way."""
    text = (files("palaestra.envs.critic.evolution") / "prompts.toml").read_text(encoding="utf-8")
    return {name: found.strip() for name, found in tomllib.loads(text).items()}


def _reworded(tools: list[dict[str, Json]], words: dict[str, _Words]) -> list[dict[str, Json]]:
    """Return tools with other descriptions."""
    found = copy.deepcopy(tools)
    functions = {tool["function"]["name"]: tool["function"] for tool in found}
    problems = [f"There is no tool {name!r}." for name in words if name not in functions]
    problems += [f"The tool {name!r} is missing." for name in functions if name not in words]
    _expect(problems)
    for name, said in words.items():
        functions[name]["description"] = said.description
        properties = functions[name]["parameters"]["properties"]
        for key, text in said.parameters.items():
            if not isinstance(properties.get(key), dict):
                raise Problem(f"The tool {name!r} has no parameter {key!r}.")
            properties[key]["description"] = text
    return found


def _expect(problems: list[str]) -> None:
    """Send problems back to the model, if there are any."""
    if problems:
        raise Problem(*problems)


__all__ = ["Rewriter", "instructions"]
