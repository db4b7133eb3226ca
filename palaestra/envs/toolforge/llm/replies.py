"""Forms of the replies of a model, one for each stage; unknown keys are refused, values are not converted."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from palaestra.envs.toolforge.instance import AnswerType
from palaestra.types import Json

MAX_DRAFT_NODES = 20
Id = Annotated[str, Field(pattern=r"^n[1-9]\d?$")]
Text = Annotated[str, Field(min_length=1, max_length=4000)]
ToolName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{2,63}$")]
Arguments = dict[str, Json]


class _Form(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class DraftNode(_Form):
    """A part of a question, with {n1} in place of other answers."""

    id: Id
    text: Text
    deps: list[Id] = Field(default_factory=list, max_length=MAX_DRAFT_NODES)
    answer: Json
    answer_type: AnswerType


class DraftOperation(_Form):
    """How the final answer follows from answers of nodes."""

    kind: Text
    over: list[Id] = Field(min_length=1, max_length=MAX_DRAFT_NODES)


class DraftFinal(_Form):
    """The final answer."""

    answer: Json
    answer_type: AnswerType
    op: DraftOperation | None = None


class Decomposition(_Form):
    """L1: a question and its parts; `entities` are the names that the question holds."""

    question: Text
    entities: list[Text] = Field(default_factory=list, max_length=50)
    nodes: list[DraftNode] = Field(min_length=1, max_length=MAX_DRAFT_NODES)
    final: DraftFinal


class NodeVerdict(_Form):
    """L2: what holds of one node."""

    id: Id
    atomic: bool
    needs_tool: bool
    covered_by_parents: bool
    not_forced_serial: bool


class Verdict(_Form):
    """L2: what holds of a decomposition."""

    nodes: list[NodeVerdict] = Field(max_length=MAX_DRAFT_NODES)
    complete: bool


class DraftDocument(_Form):
    """L3: a tool document, and the field of its result that holds the answer."""

    name: ToolName
    description: Text
    parameters: dict[str, Json]
    result_field: ToolName


class DraftCall(_Form):
    """L4: the arguments of a call."""

    arguments: Arguments


class DraftGroup(_Form):
    """L5: nodes that share a tool, the tool, and the call of each."""

    nodes: list[Id] = Field(min_length=2, max_length=MAX_DRAFT_NODES)
    document: DraftDocument
    calls: dict[str, Arguments]


class Integration(_Form):
    """L5: groups of nodes that share a tool; nodes in no group keep their own."""

    groups: list[DraftGroup] = Field(default_factory=list, max_length=MAX_DRAFT_NODES)


class Scaling(_Form):
    """L6: a harder tool, and the call of each of its nodes."""

    document: DraftDocument
    calls: dict[str, Arguments]


class Distractors(_Form):
    """L6: tools that no node needs."""

    documents: list[DraftDocument] = Field(max_length=30)


class DraftSource(_Form):
    """L7: the Python source of a tool."""

    source: str = Field(min_length=1, max_length=100_000)


__all__ = [
    "MAX_DRAFT_NODES",
    "Arguments",
    "Decomposition",
    "Distractors",
    "DraftCall",
    "DraftDocument",
    "DraftFinal",
    "DraftGroup",
    "DraftNode",
    "DraftOperation",
    "DraftSource",
    "Integration",
    "NodeVerdict",
    "Scaling",
    "Verdict",
]
