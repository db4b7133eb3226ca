"""A trial of the source of a tool in the sandbox: what it must find, and what it must not do.

Golden calls return their answers, written in another case or with other spaces too. A sentinel, an empty text, the answer
itself and a wrong type find nothing, raise nothing, and are not repeated in a message.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

from palaestra.envs.judging.asking import Problem
from palaestra.envs.sandbox import Program, Sandbox
from palaestra.envs.toolforge.llm.rules import rewritten
from palaestra.envs.toolforge.llm.screen import problems_of
from palaestra.envs.toolforge.strict import gives
from palaestra.envs.tools.drawing import simplest_arguments
from palaestra.types import Json

SENTINEL = "zzqx vurm"


class Golden(NamedTuple):
    """A call and the answer that it has to give."""

    arguments: Mapping[str, Json]
    answer: Json
    answer_type: str


def try_source(
    sandbox: Sandbox, source: str, name: str, schema: Mapping[str, Any], field: str, golden: Sequence[Golden]
) -> None:
    """Check L7: read a source, then run it.

    Args:
        sandbox: Where it runs.
        source: Python, written by a model.
        name: Name of the function.
        schema: Schema of its arguments.
        field: Field of the result that holds the answer.
        golden: Calls that have to be answered; none for a tool that no node needs.

    Raises:
        Problem: With a line for each fault.
    """
    if lines := problems_of(source, name, schema):
        raise Problem(*lines)
    trial = _Trial(sandbox.load(source), name, field)
    lines = []
    for number, call in enumerate(golden, start=1):
        lines += [f"Call {number}: {line}" for line in trial.golden(call, schema)]
    simplest = simplest_arguments(json.dumps(schema, ensure_ascii=False)) or {}
    for text in (SENTINEL, "") if simplest else ():
        lines += trial.quiet(rewritten(simplest, schema, partial(_instead, text)), text, [])
    answers = [(call.answer, call.answer_type) for call in golden]
    for call in golden:
        wrong = {key: 7 if isinstance(value, str) else value for key, value in call.arguments.items()}
        blind, echo = (rewritten(call.arguments, schema, partial(_instead, text)) for text in (SENTINEL, str(call.answer)))
        for arguments, text in ((blind, SENTINEL), (echo, ""), (wrong, "")):
            if arguments != call.arguments:  # calls without texts, such as those of a calculator, stay as they are
                lines += trial.quiet(arguments, text, answers)
    if lines:
        raise Problem(*dict.fromkeys(lines))


class _Trial:
    """A loaded source being tried."""

    def __init__(self, program: Program, name: str, field: str) -> None:
        self.program = program
        self.name = name
        self.field = field

    def result(self, arguments: Mapping[str, Json]) -> tuple[str, Any, str]:
        """Return status, value and text of a call."""
        result = self.program.call(self.name, dict(arguments))
        return result.status, result.value() if result.ok else None, result.content

    def golden(self, call: Golden, schema: Mapping[str, Any]) -> Iterator[str]:
        """Yield what is wrong with the answers to a golden call, its repetition, and other ways to write it."""
        if not (is_right := self.answers(call.arguments, call)):
            status, value, _ = self.result(call.arguments)
            seen = f"the status {status}" if status != "ok" else f"{json.dumps(value, ensure_ascii=False)[:200]}"
            yield f"it does not return its answer in the field {self.field}, but {seen}."
        if is_right and self.result(call.arguments) != self.result(call.arguments):
            yield "it returns something else the second time."
        for change in (str.upper, str.lower, _spaced):
            written = rewritten(call.arguments, schema, change)
            if is_right and not self.answers(written, call):
                yield "it does not find the key in another case or with other spaces."
                return

    def answers(self, arguments: Mapping[str, Json], call: Golden) -> bool:
        """Whether arguments give the answer of a golden call."""
        status, value, _ = self.result(arguments)
        if status != "ok" or not isinstance(value, dict) or value.get("status") in ("error", "not_found"):
            return False
        return gives(value, self.field, call.answer, call.answer_type)

    def quiet(self, arguments: Mapping[str, Json], text: str, answers: Sequence[tuple[Json, str]]) -> Iterator[str]:
        """Yield what is wrong with the result of a call that knows nothing."""
        status, value, content = self.result(arguments)
        if status != "ok" or not isinstance(value, dict):
            yield f"Arguments that are not known give the status {status}; return an object with a status, and never raise."
            return
        if any(gives(value, self.field, answer, kind) for answer, kind in answers):
            yield "Arguments that know nothing give an answer."
        if text and text.casefold() in content.casefold():
            yield "A message repeats an argument."


def _instead(text: str, _: str) -> str:
    """Return a text in place of another."""
    return text


def _spaced(text: str) -> str:
    """Return a text with other spaces."""
    return f"  {text.replace(' ', '  ')} "


__all__ = ["SENTINEL", "Golden", "try_source"]
