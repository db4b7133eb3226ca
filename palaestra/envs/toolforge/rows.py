"""Rows of the published data (FTRL): import into instances and export, without loss.

A published row holds four of its fields as texts of JSON. An import keeps the texts' own spelling where writing the value
again would give another one, and the order of the answers of a tool, which the published scorer goes by. Oddities of the
published schemas are loaded as they are; `oddities.warnings_of` names them.

Source: bytedance/FTRL, `Data/jsonl` (arXiv:2508.08791); format of the rows as its trainers read them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from palaestra.envs.toolforge.graph import SCENARIOS
from palaestra.envs.toolforge.instance import FORMAT, Instance, InstanceError, json_of, tool_name
from palaestra.envs.toolforge.tables import source_of
from palaestra.types import Json

FIELDS = ("messages", "tools", "codes", "unsolved_set", "solve_rate", "data_source", "split", "answer")
"""Fields of a published row in their order; `id` may come before them."""
PREFIX = "self/"
QUESTION = "Question: "
_TEXTS = ("tools", "codes", "unsolved_set")


def instance_of_row(row: Json, *, number: int = 0, where: str = "The row") -> Instance:
    """Return the instance of a published row.

    The expected answers become nodes without dependencies, in the order of `unsolved_set`; `meta["row"]` keeps what an
    instance has no place for.

    Args:
        row: The row; `id` is optional.
        number: Position in the file, from 0, for the id of a row without one: `ftrl-SPLIT-NNN`.
        where: Begins the message of an error, e.g. the file and the line.

    Raises:
        InstanceError: If it is not such a row; the message names the field.
    """
    values = _checked(row, where)
    parsed = {name: json_of(values[name], f"{where}: field {name!r}") for name in _TEXTS}
    tools, codes, unsolved = parsed["tools"], parsed["codes"], parsed["unsolved_set"]
    _check_texts(tools, codes, unsolved, where)
    spelled = {name: values[name] for name in _TEXTS if _dumped(parsed[name]) != values[name]}
    scenario = values["data_source"].removeprefix(PREFIX)
    if scenario not in SCENARIOS:
        known = ", ".join(PREFIX + name for name in SCENARIOS)
        raise InstanceError(f"{where}: field 'data_source' is {values['data_source']!r}; expected one of {known}.")
    kept: dict[str, Json] = {
        "has_id": "id" in values,
        "solve_rate": values["solve_rate"],
        "answers_of": {tool: len(answers) for tool, answers in unsolved.items()},
    }
    if spelled:
        kept["texts"] = spelled
    if not values["data_source"].startswith(PREFIX):
        kept["data_source"] = values["data_source"]
    nodes = [
        {"id": f"n{index}", "text": "", "tool": tool, "deps": [], "answer": answer, "answer_type": "text"}
        for index, (tool, answer) in enumerate(((t, a) for t, answers in unsolved.items() for a in answers), start=1)
    ]
    used = {node["tool"] for node in nodes}
    names = [tool_name(tool) for tool in tools]
    value = {
        "format": FORMAT,
        "id": values.get("id", default_id(values["split"], number)),
        "source": "ftrl",
        "scenario": scenario,
        "question": question_in(values["messages"]),
        "messages": values["messages"],
        "tools": tools,
        "impl": {name: {"kind": "python", "source": source} for name, source in codes.items()},
        "nodes": nodes,
        "final": {"answer": values["answer"], "answer_type": "text"},
        "difficulty": {
            "nodes": len(nodes),
            "depth": min(1, len(nodes)),
            "width": len(nodes),
            "n_tools": len(tools),
            "n_distractors": sum(name not in used for name in names),
        },
        "meta": {"split": values["split"], "row": kept},
    }
    return Instance.of(value, where)


def row_of_instance(instance: Instance) -> dict[str, Json]:
    """Return the published row of an instance, so that the published trainers can read it.

    An imported row comes back as it was. Of any other instance the row has the texts of the answers and the tools as Python.

    Raises:
        InstanceError: If a table cannot be written as the source of a function.
    """
    row = instance.meta.get("row")
    kept: Mapping[str, Any] = row if isinstance(row, Mapping) else {}
    codes = {}
    schemas = {tool_name(tool): tool for tool in instance.tools}
    for name, implementation in instance.impl.items():
        if implementation.kind == "python":
            codes[name] = implementation.source
        else:
            codes[name] = _source_of_table(instance.id, schemas[name], implementation.spec)
    unsolved: dict[str, list[Json]] = {tool: [] for tool in kept.get("answers_of", instance.tool_names())}
    for node in instance.nodes:
        unsolved.setdefault(node.tool, []).append(answer_text(node.answer) if instance.source != "ftrl" else node.answer)
    if "answers_of" not in kept:
        unsolved = {tool: answers for tool, answers in unsolved.items() if answers}
    final = instance.final.answer
    texts = kept.get("texts", {})
    values = {
        "id": instance.id,
        "messages": [dict(message) for message in instance.messages],
        "tools": texts.get("tools", _dumped(instance.tools)),
        "codes": texts.get("codes", _dumped(codes)),
        "unsolved_set": texts.get("unsolved_set", _dumped(unsolved)),
        "solve_rate": kept.get("solve_rate", 0.0),
        "data_source": kept.get("data_source", PREFIX + instance.scenario),
        "split": instance.split,
        "answer": final if final is None or isinstance(final, str) else answer_text(final),
    }
    if not kept.get("has_id", True):
        del values["id"]
    return values


def _source_of_table(where: str, tool: Mapping[str, Any], spec: Mapping[str, Json]) -> str:
    """Return a table as the source of a function."""
    name = tool_name(tool)
    try:
        if "does" not in spec:
            raise KeyError("does")
        return source_of(name, tool["function"]["parameters"], spec)
    except (KeyError, TypeError, ValueError) as error:
        raise InstanceError(
            f"Tool {name!r} of {where!r} is a table that cannot be written as Python ({type(error).__name__}: {error})."
        ) from None


def answer_text(answer: Json) -> str:
    """Return an answer as the published rows write it: parts joined by `", "`, true and false in lower case."""
    if isinstance(answer, list):
        return ", ".join(answer_text(part) for part in answer)
    if isinstance(answer, bool):
        return "true" if answer else "false"
    return answer if isinstance(answer, str) else _dumped(answer)


def question_in(messages: list[dict[str, Json]]) -> str:
    """Return the question of a row: what follows "Question: " in the first message of the user."""
    for message in messages:
        if message.get("role") == "user" and isinstance(message.get("content"), str):
            content: str = message["content"]
            return content.rpartition(QUESTION)[2].strip()
    return ""


def default_id(split: str, number: int) -> str:
    """Return the id of a row that has none."""
    return f"ftrl-{split}-{number:03d}"


def _checked(row: Json, where: str) -> dict[str, Any]:
    """Return a row whose fields are there and of their types."""
    if not isinstance(row, Mapping):
        raise InstanceError(f"{where} is {type(row).__name__}; expected an object.")
    if missing := [name for name in FIELDS if name not in row]:
        raise InstanceError(f"{where} lacks the field {missing[0]!r}; a published row has {', '.join(FIELDS)}.")
    if unknown := [name for name in row if name not in FIELDS and name != "id"]:
        raise InstanceError(f"{where} has the unknown field {unknown[0]!r}; a published row has {', '.join(FIELDS)}.")
    values = dict(row)
    for name in (*_TEXTS, "data_source", "split", *(("id",) if "id" in values else ())):
        if not isinstance(values[name], str):
            raise InstanceError(f"{where}: field {name!r} is {type(values[name]).__name__}; expected a text.")
    if values["answer"] is not None and not isinstance(values["answer"], str):
        raise InstanceError(f"{where}: field 'answer' is {type(values['answer']).__name__}; expected a text or null.")
    rate = values["solve_rate"]
    if isinstance(rate, bool) or not isinstance(rate, int | float) or not 0 <= rate <= 1:
        raise InstanceError(f"{where}: field 'solve_rate' is {rate!r}; expected a number from 0 to 1.")
    messages = values["messages"]
    if not isinstance(messages, list) or not all(isinstance(one, Mapping) for one in messages):
        raise InstanceError(f"{where}: field 'messages' is not a list of chat messages.")
    return values


def _check_texts(tools: Json, codes: Json, unsolved: Json, where: str) -> None:
    """Check the shapes of the fields that are texts of JSON."""
    if not isinstance(tools, list) or not all(tool_name(tool) for tool in tools):
        raise InstanceError(f"{where}: field 'tools' is not a list of OpenAI function schemas with names.")
    if not isinstance(codes, dict) or not all(isinstance(source, str) for source in codes.values()):
        raise InstanceError(f"{where}: field 'codes' is not an object of Python sources by tool.")
    if not isinstance(unsolved, dict) or not all(isinstance(answers, list) for answers in unsolved.values()):
        raise InstanceError(f"{where}: field 'unsolved_set' is not an object of lists of answers by tool.")


def _dumped(value: Json) -> str:
    """Return a value as the published rows write it."""
    return json.dumps(value, ensure_ascii=False)


__all__ = [
    "FIELDS",
    "answer_text",
    "default_id",
    "instance_of_row",
    "question_in",
    "row_of_instance",
]
