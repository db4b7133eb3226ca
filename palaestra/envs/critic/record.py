"""The format `critic/1`: one item, with the dialogue up to a step, the tools, and the actions that are expected.

An *internal* item holds a step that is wrong in one of four ways, or right; expected is the step as it should have been, or
the next one. An *external* item holds a right call that failed; expected are retries of it, then the next step or a report.
`of_published` and `to_published` lead to the published form and back without loss.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from palaestra.envs.critic.blocks import REMINDER
from palaestra.envs.critic.documents import END_OF_TOOLS, PROFILES, CriticDataError, documents_of, to_document, to_schema
from palaestra.envs.critic.published import FINISH, action_of
from palaestra.envs.wrappers.injection.taxonomy import EXTENDED, EXTERNAL, INTERNAL
from palaestra.types import Json
from palaestra.types.plain_json import is_strict

FORMAT = "critic/1"
Family = Literal["internal", "external"]
FAMILIES: tuple[Family, ...] = ("internal", "external")

_KNOWN = ("query_prompt", "ground_truth", "error_type")
_ID = Annotated[str, Field(min_length=1, max_length=256)]


class _Part(BaseModel):
    """What all parts share: unknown keys are refused, values are not converted, nothing is changed afterwards."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class Action(_Part):
    """One step of a dialogue.

    Attributes:
        name: The tool, or `FinishAction`.
        args: Its arguments; a text for `FinishAction`.
        thought: Why; None where the item has none.
    """

    name: Annotated[str, Field(min_length=1)]
    args: dict[str, Json] | str
    thought: str | None = None

    @classmethod
    def of(cls, value: Json, what: str) -> Action:
        """Return the action that a published item holds.

        Args:
            value: The action as published.
            what: What it is called in messages.

        Raises:
            CriticDataError: If it is not one.
        """
        found = action_of(value, what)
        args = "" if found["name"] == FINISH and found["args"] == {} else found["args"]
        thought = found.get("thought")
        if thought is not None and not isinstance(thought, str):
            raise CriticDataError(f"{what}: the thought is {thought!r}; expected a text.")
        return cls(name=found["name"], args=args, thought=thought)

    def to_published(self) -> dict[str, Json]:
        """Return the action as items and dialogues hold it."""
        thought = {} if self.thought is None else {"thought": self.thought}
        return {**thought, "name": self.name, "args": self.args}

    def text(self) -> str:
        """Return the action as an assistant message holds it."""
        return json.dumps(self.to_published(), ensure_ascii=False)


class Record(_Part):
    """One item.

    Attributes:
        format: Name and version of the format.
        id: Unique within its file.
        family: Whose error it is: "internal" the model's, "external" the environment's.
        label: The kind of error; "" for none, or where a published external item does not say.
        kind: How the error was made, more closely than the label; "" if not known.
        k: Steps of the dialogue so far; the last one is in question.
        messages: The dialogue, roles system, user, assistant and function; the system message holds the tools' documents.
        tools: OpenAI function schemas of the tools.
        golden: Internal: the action that is expected.
        golden_failed: External: the call that failed.
        next: External: the step after it.
        cot: Whether actions have thoughts.
        evolution: Ways in which the item was made harder; empty for a base item.
        split: Split of the tasks that it belongs to.
        provenance: Where it comes from; plain JSON.
    """

    format: Literal["critic/1"] = "critic/1"
    id: _ID
    family: Family
    label: str = ""
    kind: str = ""
    k: Annotated[int, Field(ge=1)]
    messages: Annotated[list[dict[str, str]], Field(min_length=2)]
    tools: Annotated[list[dict[str, Json]], Field(min_length=1)]
    golden: Action | None = None
    golden_failed: Action | None = None
    next: Action | None = None
    cot: bool = False
    evolution: list[str] = Field(default_factory=list)
    split: Annotated[str, Field(min_length=1)] = "test"
    provenance: dict[str, Json] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _consistent(self) -> Record:
        """Refuse a record whose parts contradict each other."""
        if not all(set(message) == {"role", "content"} for message in self.messages):
            raise ValueError("messages: every message has role and content and nothing else")
        expected = {"internal": (self.golden,), "external": (self.golden_failed, self.next)}[self.family]
        spare = {"internal": (self.golden_failed, self.next), "external": (self.golden,)}[self.family]
        if None in expected or any(spare):
            raise ValueError("an internal item has golden alone, an external one golden_failed and next")
        known = ("", *(INTERNAL if self.family == "internal" else (*EXTERNAL, *EXTENDED)))
        if self.label not in known:
            raise ValueError(f"the label {self.label!r} is not one of {', '.join(map(repr, known))}")
        declared = {tool["function"]["name"]: set(tool["function"]["parameters"]["properties"]) for tool in self.tools}
        for action in expected:
            assert action is not None
            if action.name == FINISH:
                continue
            if action.name not in declared:
                raise ValueError(f"the expected tool {action.name!r} is not in the list of tools")
            if unknown := sorted(set(action.args) - declared[action.name]):
                raise ValueError(
                    f"the expected call of {action.name!r} has the argument {unknown[0]!r}, which its document lacks"
                )
        if not is_strict(self.model_dump()):
            raise ValueError("it holds values that are not strict JSON")
        return self

    @classmethod
    def of(cls, value: Json, where: str) -> Record:
        """Return the record that plain JSON stands for.

        Args:
            value: The parsed record.
            where: What it is called in messages.

        Raises:
            CriticDataError: If it is not one; the message names the field.
        """
        try:
            return cls.model_validate(value)
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(map(str, first["loc"]))
            message = first["msg"].removeprefix("Value error, ")
            raise CriticDataError(f"{where}: {f'{place}: ' if place else ''}{message}.") from None
        except (KeyError, TypeError, AttributeError) as error:
            raise CriticDataError(f"{where}: a tool is not an OpenAI function schema of an object ({error!r}).") from None

    def to_json(self) -> dict[str, Json]:
        """Return the record as plain JSON; what is not used is left out."""
        found: dict[str, Json] = self.model_dump(exclude_none=True)
        return found

    def to_line(self) -> str:
        """Return the record as one line of a file."""
        return json.dumps(self.to_json(), ensure_ascii=False)

    def documents(self) -> list[dict[str, Json]]:
        """Return the documents of the tools."""
        return [to_document(tool) for tool in self.tools]

    def failed(self) -> Action:
        """Return the failed call of an external item.

        Raises:
            CriticDataError: If it is an internal one.
        """
        if self.golden_failed is None:
            raise CriticDataError(f"{self.id} is an internal item; it has no failed call.")
        return self.golden_failed


def of_published(
    key: str, item: Json, *, cot: bool | None = None, evolution: Sequence[str] = (), split: str = "test"
) -> Record:
    """Return the record of a published item.

    Args:
        key: Its id.
        item: The item, `{"query_prompt", "ground_truth", "error_type"}`.
        cot: Whether its actions have thoughts; None to look at the expected ones.
        evolution: Ways in which it was made harder, where the file says so.
        split: The split that it is put into.

    Raises:
        CriticDataError: If it is not one; the message names the item.
    """
    if not isinstance(item, Mapping):
        raise CriticDataError(
            f"{key}: the item is {type(item).__name__}; expected an object with query_prompt and ground_truth."
        )
    messages, truth = item.get("query_prompt"), item.get("ground_truth")
    if not isinstance(messages, list) or not all(isinstance(message, dict) for message in messages):
        raise CriticDataError(f"{key}: query_prompt is {type(messages).__name__}; expected a list of messages.")
    system = next((message.get("content") for message in messages if message.get("role") == "system"), None)
    if not isinstance(system, str):
        raise CriticDataError(f"{key}: there is no system message; expected one with the list of tools.")
    documents = documents_of(system, key)
    record: dict[str, Json] = {"id": key, "messages": messages, "tools": [to_schema(one) for one in documents], "split": split}
    record["k"] = sum(message.get("role") == "assistant" for message in messages)
    if isinstance(truth, list):
        if len(truth) != 2:
            raise CriticDataError(f"{key}: ground_truth has {len(truth)} actions; expected the failed one and the next.")
        failed, following = (Action.of(one, f"{key}: ground_truth[{place}]") for place, one in enumerate(truth))
        record |= {"family": "external", "golden_failed": failed, "next": following}
    else:
        label = item.get("error_type")
        if not isinstance(label, str):
            raise CriticDataError(f"{key}: error_type is {label!r}; expected the label of the error, or '' for none.")
        record |= {"family": "internal", "label": label, "golden": Action.of(truth, f"{key}: ground_truth")}
    expected = record.get("golden") or record["golden_failed"]
    record["cot"] = expected.thought is not None if cot is None else cot
    record["evolution"] = list(evolution)
    if rest := {name: value for name, value in item.items() if name not in _KNOWN}:
        record["provenance"] = {"item": rest}
    if isinstance(truth, list) and "error_type" in item:
        record.setdefault("provenance", {}).setdefault("item", {})["error_type"] = item["error_type"]
    return Record.of(record, key)


def to_published(record: Record) -> dict[str, Json]:
    """Return the published item of a record.

    A system message without the tools' documents gets them, in this package's own words.

    Args:
        record: The record.
    """
    messages: list[dict[str, Json]] = [dict(message) for message in record.messages]
    system = next((message for message in messages if message["role"] == "system"), None)
    if system is None:
        messages.insert(0, {"role": "system", "content": system_message(record.documents())})
    elif not _holds(system["content"], record.tools):
        system["content"] = system_message(record.documents(), system["content"])
    item: dict[str, Json] = {"query_prompt": messages}
    if record.family == "internal":
        assert record.golden is not None
        item |= {"ground_truth": record.golden.to_published(), "error_type": record.label}
    else:
        assert record.next is not None
        item["ground_truth"] = [record.failed().to_published(), record.next.to_published()]
    return {**item, **record.provenance.get("item", {})}


def system_message(documents: Sequence[Mapping[str, Json]], before: str = "") -> str:
    """Return a system message that holds documents, in this package's own words.

    Args:
        documents: The documents.
        before: Text in front of them; without brackets.
    """
    begin = (
        before.replace("[", "(").replace("]", ")").strip() or "You solve the tasks of a user step by step, with these tools:"
    )
    listed = json.dumps([*documents], ensure_ascii=False)
    return (
        f'{begin}\n{listed}{END_OF_TOOLS}, answer with one JSON object that holds its "name" and its "args". When the task is '
        f'done, or no tool can help, use the name FinishAction and put your reply to the user into "args".\n'
        f"{REMINDER}, and nothing but the JSON object."
    )


def _holds(system: str, tools: list[dict[str, Json]]) -> bool:
    """Whether a system message holds the documents of these tools."""
    try:
        documents = documents_of(system, "it")
    except CriticDataError:
        return False
    return any([to_schema(document, profile) for document in documents] == tools for profile in PROFILES)


__all__ = [
    "FAMILIES",
    "FORMAT",
    "Action",
    "Family",
    "Record",
    "of_published",
    "system_message",
    "to_published",
]
