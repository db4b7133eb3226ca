"""The format `toolenv/1`: a question, the tools that answer it with their implementations, and the answers they must give.

An `Instance` is one JSON object, one line of a file. A `Node` is one part of the question: one call of one tool gives its
answer. Nodes depend on one another where a call needs what another call returned. Builders make instances, files hold them,
`palaestra/ToolForge-v0` plays them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from palaestra.envs.toolforge.graph import MAX_NODES, Scenario, graph_problem
from palaestra.errors import UsageError
from palaestra.types import Json
from palaestra.types.plain_json import is_deep, is_strict, strict_json

FORMAT = "toolenv/1"
MAX_TOOLS = 200
MAX_SHOWN = 3

AnswerType = Literal["int", "float", "date", "entity", "text", "bool", "list"]
"""How an answer is compared: numbers as numbers, dates as dates, names without case and outer punctuation, ..."""
Source = Literal["procedural", "llm", "ftrl"]
Name = Annotated[str, Field(min_length=1, max_length=256)]
Level = Annotated[int, Field(ge=0, le=3)]


class InstanceError(UsageError):
    """A text is not an instance of the format; the message names the field."""


class _Part(BaseModel):
    """What all parts share: unknown keys are refused, values are not converted, nothing is changed afterwards."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class PythonCode(_Part):
    """A tool as Python source: a function of the tool's name, run in the sandbox."""

    kind: Literal["python"] = "python"
    source: str


class TableData(_Part):
    """A tool as data for the table interpreter."""

    kind: Literal["table"] = "table"
    spec: dict[str, Json]


Implementation = Annotated[PythonCode | TableData, Field(discriminator="kind")]


class Node(_Part):
    """One part of a question: one call of one tool gives its answer.

    Attributes:
        id: Unique within the instance.
        text: The part in words.
        tool: Name of the tool.
        deps: Ids of the nodes whose answers the call needs.
        answer: The expected answer.
        answer_type: How it is compared.
        path: Where it stands in the result, keys and positions joined by dots; None for anywhere.
        golden_args: Arguments of a call that gives it; None if none is known.
    """

    id: Name
    text: str
    tool: str
    deps: list[Name] = Field(default_factory=list, max_length=MAX_NODES)
    answer: Json
    answer_type: AnswerType
    path: str | None = None
    golden_args: dict[str, Json] | None = None


class Operation(_Part):
    """How the final answer follows from the nodes' answers: `kind` (e.g. "sum") over node ids."""

    kind: Name
    over: list[Name] = Field(max_length=MAX_NODES)


class Final(_Part):
    """The final answer; `answer` is None where none is known."""

    answer: Json
    answer_type: AnswerType
    op: Operation | None = None


class Levels(_Part):
    """Levels of complexity, 0 to 3: generalised functions, optional parameters, types of parameters, distractors."""

    function: Level = 0
    params: Level = 0
    types: Level = 0
    toolset: Level = 0


class Difficulty(_Part):
    """Sizes of an instance: nodes, longest path, widest level, tools, tools that no node needs."""

    nodes: int = Field(ge=0)
    depth: int = Field(ge=0)
    width: int = Field(ge=0)
    n_tools: int = Field(ge=0)
    n_distractors: int = Field(ge=0)
    levels: Levels = Levels()


class Instance(_Part):
    """A tool-use task with everything that is needed to play and to score it.

    Attributes:
        format: `FORMAT`.
        id: Stable key of the task.
        source: Who made it. The nodes of "ftrl" carry no dependencies, because the published rows have none.
        seed: Seed of the builder, if there is one.
        builder_version: Version of the builder; empty if unknown.
        scenario: Shape of the graph; checked against the nodes unless `source` is "ftrl".
        question: The question alone.
        messages: Chat messages shown at the start.
        tools: OpenAI function schemas.
        impl: Implementation of each tool by name.
        nodes: The parts of the question.
        final: The final answer.
        difficulty: Sizes.
        meta: Anything else; "split" names the split ("train" if it is missing).

    Raises:
        InstanceError: By `from_line` and `of`; building one in Python raises pydantic's own error.
    """

    format: Literal["toolenv/1"] = "toolenv/1"
    id: Name
    source: Source
    seed: int | None = None
    builder_version: str = ""
    scenario: Scenario
    question: str
    messages: list[dict[str, Json]] = Field(min_length=1)
    tools: list[dict[str, Json]] = Field(max_length=MAX_TOOLS)
    impl: dict[str, Implementation]
    nodes: list[Node] = Field(max_length=MAX_NODES)
    final: Final
    difficulty: Difficulty
    meta: dict[str, Json] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _check(self) -> Instance:
        """Check what holds between the fields."""
        names = [tool_name(tool) for tool in self.tools]
        if problem := self._problem(names):
            raise ValueError(problem)
        return self

    @classmethod
    def of(cls, value: Json, where: str = "The instance") -> Instance:
        """Return the instance that a JSON value stands for.

        Args:
            value: The value.
            where: Begins the message of the error, e.g. the file and the line.
        """
        if isinstance(value, dict) and value.get("format") != FORMAT:
            raise InstanceError(f"{where} has the format {_short(value.get('format'))}; expected {FORMAT!r}.")
        try:
            return cls.model_validate(value)
        except ValidationError as error:
            raise InstanceError(f"{where} is not an instance of {FORMAT}: {_reasons(error)}") from None

    @classmethod
    def from_line(cls, line: str | bytes, where: str = "The instance") -> Instance:
        """Return the instance that a line of a file stands for; arguments as of `of`."""
        return cls.of(json_of(line, where), where)

    def to_json(self) -> dict[str, Json]:
        """Return the instance as plain JSON data, keys in the order of the format."""
        return self.model_dump(mode="python")

    def to_line(self) -> str:
        """Return the instance as one line of JSON, without the line's end; equal instances give equal bytes."""
        return json.dumps(self.to_json(), ensure_ascii=False, allow_nan=False, separators=(",", ":"))

    @property
    def split(self) -> str:
        """Name of the split."""
        return str(self.meta.get("split", "train"))

    def tool_names(self) -> tuple[str, ...]:
        """Return the names of the tools in order."""
        return tuple(tool_name(tool) for tool in self.tools)

    def node(self, node_id: str) -> Node:
        """Return a node by its id; KeyError if there is none."""
        for node in self.nodes:
            if node.id == node_id:
                return node
        raise KeyError(node_id)

    def _problem(self, names: list[str]) -> str:
        """Say what does not fit together; empty if everything does."""
        if "" in names:
            return f"tool number {names.index('') + 1} is not an OpenAI function schema with a name"
        if len(set(names)) < len(names):
            return f"two tools are called {next(name for name in names if names.count(name) > 1)!r}"
        if not isinstance(self.meta.get("split", "train"), str):
            return f"meta.split is {_short(self.meta['split'])}; expected the name of a split"
        is_published = self.source == "ftrl"
        graph = {node.id: node.deps for node in self.nodes}
        if len(graph) < len(self.nodes):
            ids = [node.id for node in self.nodes]
            return f"two nodes have the id {next(one for one in ids if ids.count(one) > 1)!r}"
        if problem := graph_problem(graph, None if is_published else self.scenario, has_operation=self.final.op is not None):
            return problem
        if self.final.op is not None and (unknown := [one for one in self.final.op.over if one not in graph]):
            return f"final.op names the node {unknown[0]!r}, which does not exist"
        if is_published:  # published rows are taken as they are; `warnings_of` says what is odd about them
            return ""
        if missing := [name for name in names if name not in self.impl]:
            return f"tool {missing[0]!r} has no implementation in impl"
        if more := [name for name in self.impl if name not in names]:
            return f"impl names {more[0]!r}, which is not among the tools"
        if lost := [node for node in self.nodes if node.tool not in self.impl]:
            return f"node {lost[0].id!r} asks for the tool {lost[0].tool!r}, which does not exist"
        return ""


def tool_name(tool: Json) -> str:
    """Return the name in an OpenAI function schema; empty if it has none."""
    function = tool.get("function") if isinstance(tool, Mapping) else None
    name = function.get("name") if isinstance(function, Mapping) else None
    return name if isinstance(name, str) else ""


def json_of(text: str | bytes, where: str) -> Json:
    """Return the JSON value of a text of a file.

    Args:
        text: The text.
        where: Begins the message of the error.

    Raises:
        InstanceError: If it is not strict JSON, is nested too deeply, or holds text that is not valid Unicode.
    """
    try:
        text = text.decode("utf-8") if isinstance(text, bytes) else text
        value = strict_json(text)
    except UnicodeDecodeError as error:
        raise InstanceError(f"{where} is not UTF-8 text ({error.reason} at byte {error.start}).") from None
    except json.JSONDecodeError as error:
        cut = " It looks cut off." if error.pos >= len(text.rstrip()) or "Unterminated" in error.msg else ""
        raise InstanceError(f"{where} is not JSON ({error.msg} at character {error.pos}).{cut}") from None
    except (ValueError, RecursionError) as error:
        raise InstanceError(f"{where} is not usable JSON ({error}).") from None
    if is_deep(value) or ("\\ud" in text.lower() and not is_strict(value)):
        raise InstanceError(f"{where} is nested too deeply or holds text that is not valid Unicode.")
    return value


def _reasons(error: ValidationError) -> str:
    """Return pydantic's findings on one line, the first few of them."""
    found = error.errors(include_url=False, include_input=False, include_context=False)
    said = [
        f"{'.'.join(str(part) for part in one['loc']) or 'as a whole'}: {one['msg'].removeprefix('Value error, ')}"
        for one in found[:MAX_SHOWN]
    ]
    more = f" and {len(found) - MAX_SHOWN} more" if len(found) > MAX_SHOWN else ""
    return f"{'; '.join(said)}{more}."


def _short(value: Any) -> str:
    """Return a value for a message."""
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


__all__ = [
    "FORMAT",
    "AnswerType",
    "Difficulty",
    "Final",
    "Implementation",
    "Instance",
    "InstanceError",
    "Levels",
    "Node",
    "Operation",
    "PythonCode",
    "TableData",
    "json_of",
    "tool_name",
]
