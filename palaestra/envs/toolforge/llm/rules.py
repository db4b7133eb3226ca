"""Checks of replies that need no model: what each stage may write.

Every function raises `Problem` with a line for each fault, or returns quietly.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import date
from typing import Any

from palaestra.envs.judging.asking import Problem
from palaestra.envs.toolforge.answers import same
from palaestra.envs.toolforge.graph import graph_problem
from palaestra.envs.toolforge.llm.replies import Decomposition, DraftDocument, DraftNode, Integration, Verdict
from palaestra.envs.toolforge.stages.checks import leaves
from palaestra.envs.toolforge.stages.decompose import compute
from palaestra.envs.toolforge.stages.document import OPERATIONS
from palaestra.envs.toolforge.tables import plain_key
from palaestra.envs.tools.json_schema import validator_of
from palaestra.errors import UsageError
from palaestra.types import Json

MAX_ANSWER_CHARS = 80
_REFERENCE = re.compile(r"\{(\w+)\}")
_GUESSED = ("yes", "no", "true", "false", "none", "both", "neither", "unknown")
_COMPUTED = (*OPERATIONS, "days")


def check_decomposition(draft: Decomposition, scenario: str, least: int, most: int) -> None:
    """Check L1: the graph is that of the scenario, references are dependencies, answers cannot be guessed or read."""
    lines: list[str] = []
    ids = [node.id for node in draft.nodes]
    if len({*ids}) < len(ids):
        lines.append("Two nodes have the same id.")
    if not least <= len(ids) <= most:
        lines.append(f"There are {len(ids)} nodes; expected {least} to {most}.")
    for node in draft.nodes:
        if {*_REFERENCE.findall(node.text)} != {*node.deps}:
            lines.append(f"Node {node.id}: the references in its text are not its deps.")
        lines += [f"Node {node.id}: {line}" for line in _answer_problems(node.answer, node.answer_type, draft.question)]
    graph = {node.id: node.deps for node in draft.nodes}
    if problem := graph_problem(graph, scenario, has_operation=draft.final.op is not None):
        lines.append(f"The graph: {problem}.")
    else:
        lines += _final_problems(draft, graph)
    lines += [f"The entity {name!r} does not stand in the question." for name in draft.entities if name not in draft.question]
    if lines:
        raise Problem(*lines)


def check_verdict(verdict: Verdict, ids: Sequence[str]) -> None:
    """Check L2: there is a verdict on every node; whether it is a good one is for `faults_of`."""
    if sorted(node.id for node in verdict.nodes) != sorted(ids):
        raise Problem(f"The verdicts are not on the nodes {', '.join(ids)}, each once.")


def faults_of(verdict: Verdict) -> list[str]:
    """Return the faults that a verifier found."""
    found = [
        f"{node.id}:{name}"
        for node in verdict.nodes
        for name in ("atomic", "needs_tool", "covered_by_parents", "not_forced_serial")
        if not getattr(node, name)
    ]
    return found if verdict.complete else [*found, "not complete"]


def check_document(document: DraftDocument, answers: Sequence[Json], taken: Sequence[str] = ()) -> None:
    """Check L3: a valid schema of an object, defaults where something is optional, no answer anywhere."""
    lines: list[str] = []
    parameters = document.parameters
    properties, required = parameters.get("properties"), parameters.get("required", [])
    if parameters.get("type") != "object" or not isinstance(properties, dict) or not properties:
        raise Problem('"parameters" is not the schema of an object with properties.')
    if not isinstance(required, list) or not {*map(str, required)} <= {*properties} or not required:
        raise Problem('"required" does not list some of the properties.')
    try:
        validator_of(json.dumps(parameters, ensure_ascii=False))
    except UsageError as error:
        raise Problem(f"The parameters are not a JSON Schema: {error}") from None
    if parameters.get("additionalProperties") is not False:
        lines.append('"additionalProperties" is not false.')
    for name, inner in properties.items():
        if not name.isidentifier() or name.startswith("_"):
            lines.append(f"The parameter {name!r} is not a plain name.")
        elif not isinstance(inner, dict) or not inner.get("description") or not isinstance(inner.get("type"), str):
            lines.append(f"The parameter {name} has no type or no description.")
        elif name not in required and "default" not in inner:
            lines.append(f"The parameter {name} is optional and has no default.")
        elif name not in required and not _fits(inner, inner["default"]):
            lines.append(f"The default of {name} does not fit its schema.")
    if document.name in taken:
        lines.append(f"The name {document.name} is taken.")
    text = json.dumps([document.name, document.description, parameters], ensure_ascii=False)
    lines += ["An answer stands in the document." for answer in answers if holds(text, answer)][:1]
    if lines:
        raise Problem(*lines)


def check_call(
    arguments: Mapping[str, Json], document: DraftDocument, node: DraftNode, question: str, answers: Mapping[str, Json]
) -> None:
    """Check L4: the call fits the schema, holds the answers it depends on and no other, and nothing out of thin air."""
    lines: list[str] = []
    if not _fits(document.parameters, dict(arguments)):
        lines.append("The arguments do not fit the schema.")
    parents = [answers[dep] for dep in node.deps]
    given = [*leaves(dict(arguments))]
    if any(holds(str(leaf), node.answer) for leaf in given) and not any(holds(str(one), node.answer) for one in parents):
        lines.append("The call holds the answer.")
    if any(not any(holds(str(leaf), parent) for leaf in given) for parent in parents):
        lines.append("The call does not hold the answer of each part that it depends on.")
    known = " ".join([question, *map(str, parents), json.dumps(document.parameters, ensure_ascii=False)])
    invented = [
        leaf for leaf in given if isinstance(leaf, (str, int, float)) and not isinstance(leaf, bool) and not holds(known, leaf)
    ]
    lines += [
        f"The value {str(leaf)[:40]!r} stands neither in the question, nor in an answer, nor in the schema."
        for leaf in invented
    ]
    others = [other for name, other in answers.items() if name != node.id and name not in node.deps]
    if any(holds(str(leaf), other) for leaf in given for other in others if not holds(question, other)):
        lines.append("The call holds the answer of a part that it does not depend on.")
    if lines:
        raise Problem(*lines)


def check_groups(reply: Integration, ids: Sequence[str]) -> None:
    """Check L5: groups hold known nodes, each once, with a call for each."""
    named = [node for group in reply.groups for node in group.nodes]
    if len({*named}) < len(named) or not {*named} <= {*ids}:
        raise Problem("The groups overlap, or name nodes that do not exist.")
    for group in reply.groups:
        if sorted(group.calls) != sorted(group.nodes):
            raise Problem(f"The group {', '.join(group.nodes)} does not hold one call for each of its nodes.")


def check_no_echo(calls: Mapping[str, Mapping[str, Json]], answers: Mapping[str, Json], schema: Mapping[str, Any]) -> None:
    """Check L5: no call of a shared tool becomes that of another node when its own answer is put into it.

    An agent that puts answers into arguments would solve that node. Tools that do several things need a parameter that says
    which.
    """
    for node, arguments in calls.items():
        echo = rewritten(arguments, schema, lambda _, node=node: str(answers[node]))  # type: ignore[misc]
        if other := next((name for name, call in calls.items() if name != node and call == echo), None):
            raise Problem(
                f"The call of {other} is that of {node} with the answer of {node} in it; let a parameter say what is asked."
            )


def check_scaled(before: DraftDocument, after: DraftDocument, calls: Mapping[str, tuple[Any, Any]], optional: int) -> None:
    """Check L6: nothing is lost. `calls` holds the arguments of each node before and after."""
    lines: list[str] = []
    if after.result_field != before.result_field:
        lines.append(f"The result field is not {before.result_field} any more.")
    properties, required = after.parameters["properties"], after.parameters.get("required", [])
    assert isinstance(properties, dict)
    assert isinstance(required, list)
    if len(properties) - len(required) < optional:
        lines.append(f"There are {len(properties) - len(required)} optional parameters; expected at least {optional}.")
    for node, (old, new) in calls.items():
        lost = [leaf for leaf in leaves(old) if leaf not in [*leaves(new)]]
        lines += [f"The call of {node} has lost the value {str(leaf)[:40]!r}." for leaf in lost]
    if lines:
        raise Problem(*lines)


def holds(text: str, value: Json) -> bool:
    """Whether a text holds a value as a word or words of its own, whatever the case and the punctuation."""
    words = plain_key(str(value))
    return bool(words) and f" {words} " in f" {plain_key(text)} "


def rewritten(arguments: Mapping[str, Json], schema: Mapping[str, Any], change: Callable[[str], str]) -> dict[str, Json]:
    """Return arguments with their texts changed, but for those of a closed list.

    Args:
        arguments: Arguments of a call.
        schema: Their schema.
        change: From a text to another.
    """
    closed = {name for name, inner in schema["properties"].items() if "enum" in json.dumps(inner)}
    return {name: value if name in closed else _with_texts(value, change) for name, value in arguments.items()}


def _with_texts(value: Json, change: Callable[[str], str]) -> Json:
    """Return a value with its texts changed."""
    if isinstance(value, dict):
        return {name: _with_texts(inner, change) for name, inner in value.items()}
    if isinstance(value, list):
        return [_with_texts(inner, change) for inner in value]
    return change(value) if isinstance(value, str) else value


def _fits(schema: Mapping[str, Any], value: Json) -> bool:
    """Whether a value fits a schema."""
    try:
        return bool(validator_of(json.dumps(schema, ensure_ascii=False)).is_valid(value))
    except UsageError:
        return False


def _answer_problems(answer: Json, kind: str, question: str) -> Iterator[str]:
    """Yield what is wrong with an answer."""
    fits = {
        "int": isinstance(answer, int) and not isinstance(answer, bool),
        "float": isinstance(answer, (int, float)) and not isinstance(answer, bool),
        "list": isinstance(answer, list) and bool(answer) and all(isinstance(one, (str, int, float)) for one in answer),
        "date": _is_date(answer),
        "bool": False,
    }
    if not fits.get(kind, isinstance(answer, str)):
        yield f"the answer is not of the type {kind}." if kind != "bool" else "an answer that is true or false can be guessed."
        return
    for one in answer if isinstance(answer, list) else [answer]:
        text = str(one).strip()
        if len(text) > MAX_ANSWER_CHARS:
            yield f"the answer is longer than {MAX_ANSWER_CHARS} characters."
        elif len(plain_key(text)) < 2 or plain_key(text) in _GUESSED:
            yield "the answer is one character, or a word that can be guessed."
        elif holds(question, text):
            yield "the answer stands in the question."


def _final_problems(draft: Decomposition, graph: Mapping[str, Sequence[str]]) -> Iterator[str]:
    """Yield what is wrong with the final answer."""
    final, answers = draft.final, {node.id: node.answer for node in draft.nodes}
    yield from (f"The final answer: {line}" for line in _answer_problems(final.answer, final.answer_type, draft.question))
    if final.op is None:
        needed = {dep for deps in graph.values() for dep in deps}
        ends = [node for node in graph if node not in needed]
        if len(ends) != 1 or not same(final.answer, answers[ends[0]], final.answer_type):
            yield "The final answer is not that of the one node that no other node needs; give an op, or correct it."
        return
    if unknown := [node for node in final.op.over if node not in answers]:
        yield f"op.over names {unknown[0]}, which does not exist."
        return
    values = [answers[node] for node in final.op.over]
    if final.op.kind == "list":
        if final.answer != values:
            yield "The final answer is not the list of the answers that op names."
        return
    if final.op.kind not in _COMPUTED:
        yield f"op.kind is {final.op.kind[:40]!r}; expected one of list, {', '.join(_COMPUTED)}."
        return
    try:
        computed = compute(final.op.kind, values)
    except (TypeError, ValueError, ArithmeticError):
        yield f"{final.op.kind} cannot be computed from the answers that op names."
        return
    if not same(final.answer, computed, final.answer_type):
        yield f"{final.op.kind} of the answers that op names is {computed}, not the final answer."


def _is_date(answer: Json) -> bool:
    """Whether an answer is a date as YYYY-MM-DD."""
    try:
        return isinstance(answer, str) and date.fromisoformat(answer).isoformat() == answer
    except ValueError:
        return False


__all__ = [
    "check_call",
    "check_decomposition",
    "check_document",
    "check_groups",
    "check_no_echo",
    "check_scaled",
    "check_verdict",
    "faults_of",
    "holds",
    "rewritten",
]
