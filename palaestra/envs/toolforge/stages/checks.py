"""Proofs of a finished instance: what must hold of it, and why a draft is rejected.

Golden calls answer every part and nothing else does: not empty calls, not calls with the first value of each type, not another
name, not the question itself, not the answer put into the arguments. No answer can be read in the question, in a tool
document or in the result of another tool, and the words of the question mean one thing.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from palaestra.envs.toolforge.stages.decompose import Plan, Thing
from palaestra.envs.toolforge.stages.names import Reject
from palaestra.envs.toolforge.stages.question import meaning_of, meanings
from palaestra.envs.toolforge.strict import gives
from palaestra.envs.toolforge.tables import run_table
from palaestra.envs.tools.json_schema import validator_of
from palaestra.types import Json

MAX_BYTES = 200_000
LEAST_DIGITS = 3
SENTINEL = "zzqx"


def check_question(text: str, plan: Plan) -> None:
    """Check that a question means one thing, and names every thing it starts from once.

    Raises:
        Reject: If not.
    """
    if meanings(text) != [meaning_of(plan)]:
        raise Reject("the question does not mean one thing")
    for part in plan.parts:
        for arg in part.args:
            if isinstance(arg, Thing) and text.count(f'"{arg.name}"') != 1:
                raise Reject("a thing is not named exactly once")


def check_instance(instance: Mapping[str, Any], size: int) -> None:
    """Check calls, leaks and size of an instance.

    Args:
        instance: An instance in the format, as plain JSON.
        size: Its length in bytes.

    Raises:
        Reject: If something does not hold; the text says what.
    """
    if size > MAX_BYTES:
        raise Reject("it is too large")
    specs = {name: entry["spec"] for name, entry in instance["impl"].items()}
    schemas = {tool["function"]["name"]: tool["function"]["parameters"] for tool in instance["tools"]}
    results = _golden_results(instance["nodes"], specs, schemas)
    _check_leaks(instance, results, specs, schemas)
    _check_other_calls(instance, specs, schemas)
    _check_tables(specs)


def solved_by(nodes: Sequence[Mapping[str, Any]], tool: str, result: Mapping[str, Any]) -> list[str]:
    """Return the ids of the nodes whose answer stands in the result of a call, in the place where it belongs."""
    if "status" in result:
        return []
    return [
        node["id"]
        for node in nodes
        if node["tool"] == tool and gives(result, node["path"], node["answer"], node["answer_type"])
    ]


def other_calls(
    instance: Mapping[str, Any], schemas: Mapping[str, Mapping[str, Any]]
) -> Iterator[tuple[str, dict[str, Json], str]]:
    """Yield calls that know nothing: tool, arguments, and the node that they must not solve, empty for all of them.

    Args:
        instance: An instance in the format.
        schemas: Schema of the arguments of each tool.
    """
    names = [name for node in instance["nodes"] for name in _texts(node["golden_args"])]
    for tool, schema in schemas.items():
        yield tool, {}, ""
        for text in ("", SENTINEL, instance["question"]):
            yield tool, filled(schema, text), ""
    for place, node in enumerate(instance["nodes"]):
        yield node["tool"], refilled(node["golden_args"], str(node["answer"])), ""
        own = {*_texts(node["golden_args"])}
        wrong = [name for name in names[place:] + names[:place] if name not in own]
        yield node["tool"], refilled(node["golden_args"], wrong[0] if wrong else SENTINEL), node["id"]  # may be another's key


def filled(schema: Mapping[str, Any], text: str) -> dict[str, Json]:
    """Return required arguments with a text where there is one, and with the first value of other types."""
    return {name: _filled(schema["properties"][name], text) for name in schema["required"]}


def refilled(arguments: Mapping[str, Json], text: str) -> dict[str, Json]:
    """Return arguments with a text in place of every text but `attribute` and `operation`, and 0 in place of numbers."""
    return {name: value if name in ("attribute", "operation") else _refilled(value, text) for name, value in arguments.items()}


def leaves(value: Json) -> Iterator[Json]:
    """Yield the texts, numbers and other simple values of a value."""
    if isinstance(value, (dict, list)):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from leaves(inner)
    else:
        yield value


def _golden_results(
    nodes: Sequence[Mapping[str, Any]], specs: Mapping[str, Any], schemas: Mapping[str, Any]
) -> dict[str, dict[str, Any]]:
    """Return the result of the golden call of each node, after checks of the call."""
    results: dict[str, dict[str, Any]] = {}
    answers = {node["id"]: node["answer"] for node in nodes}
    for node in nodes:
        tool, arguments = node["tool"], node["golden_args"]
        if not validator_of(json.dumps(schemas[tool], ensure_ascii=False)).is_valid(arguments):
            raise Reject("a golden call does not fit the schema")
        given = [*leaves(arguments)]
        if any(answers[dep] not in given for dep in node["deps"]):
            raise Reject("an edge carries no data")
        if any(answer in given for other, answer in answers.items() if other not in node["deps"]):
            raise Reject("a golden call holds an answer that it does not depend on")
        result = run_table(specs[tool], arguments)
        if result != run_table(specs[tool], arguments):
            raise Reject("a tool answers differently the second time")
        if solved_by(nodes, tool, result) != [node["id"]]:
            raise Reject("a golden call does not solve its node alone")
        results[node["id"]] = result
    return results


def _check_leaks(
    instance: Mapping[str, Any], results: Mapping[str, Any], specs: Mapping[str, Any], schemas: Mapping[str, Any]
) -> None:
    """Check that no answer stands where it does not belong."""
    shown = json.dumps([instance["question"], instance["tools"]], ensure_ascii=False).casefold()
    shown += json.dumps(
        [run_table(specs[tool], filled(schemas[tool], SENTINEL)) for tool in specs], ensure_ascii=False
    ).casefold()
    told = {node: json.dumps(result, ensure_ascii=False).casefold() for node, result in results.items()}
    answers = {node["id"]: str(node["answer"]) for node in instance["nodes"]}
    for node, answer in answers.items():
        text = answer.casefold()
        if text in shown:
            raise Reject("an answer stands in the question or in a tool document")
        if told[node].count(text) != 1 or any(text in other for name, other in told.items() if name != node):
            raise Reject("an answer stands in the result of another call, or twice in its own")
    final = instance["final"]["answer"]
    for value in final if isinstance(final, list) else [final]:
        if isinstance(value, (int, float)) and sum(char.isdigit() for char in str(value)) < LEAST_DIGITS:
            raise Reject("an answer is a short number")
        if str(value) not in answers.values() and any(str(value).casefold() in text for text in (shown, *told.values())):
            raise Reject("the final answer stands in the question, a tool document or a result")


def _check_other_calls(instance: Mapping[str, Any], specs: Mapping[str, Any], schemas: Mapping[str, Any]) -> None:
    """Check that calls without knowledge solve nothing."""
    for tool, arguments, only in other_calls(instance, schemas):
        solved = solved_by(instance["nodes"], tool, run_table(specs[tool], arguments))
        if only in solved or (solved and not only):
            raise Reject("a call that knows nothing solves a node")


def _check_tables(specs: Mapping[str, Any]) -> None:
    """Check that a wrong key never leads to the value of another."""
    for spec in specs.values():
        for table in spec.get("tables", {}).values():
            records = {tuple(sorted(key.split("|"))): row[1] for key, row in table["rows"].items()}
            if len({*map(str, records.values())}) < len(records):
                raise Reject("two records of a table have the same value")


def _filled(schema: Mapping[str, Any], text: str) -> Json:
    """Return a value of a schema."""
    if "enum" in schema:
        return schema["enum"][0]
    kind = schema["type"]
    if kind == "object":
        return {name: _filled(schema["properties"][name], text) for name in schema["required"]}
    if kind == "array":
        return [_filled(schema["items"], text) for _ in range(schema.get("minItems", 1))]
    return {"string": text, "boolean": False}.get(kind, 0)


def _refilled(value: Json, text: str) -> Json:
    """Return a value with another text in place of its texts."""
    if isinstance(value, dict):
        return {name: _refilled(inner, text) for name, inner in value.items()}
    if isinstance(value, list):
        return [_refilled(inner, text) for inner in value]
    return text if isinstance(value, str) else 0


def _texts(arguments: Mapping[str, Json]) -> list[str]:
    """Return the names in the arguments of a golden call."""
    keys = {name: value for name, value in arguments.items() if name not in ("attribute", "operation")}
    return [leaf for leaf in leaves(keys) if isinstance(leaf, str)]


__all__ = [
    "MAX_BYTES",
    "SENTINEL",
    "check_instance",
    "check_question",
    "filled",
    "leaves",
    "other_calls",
    "refilled",
    "solved_by",
]
